"""Asking a loaded session: free answers, and the weights of choices, each group with the processor time it took."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence

from edgelm.engines.base import Reply, Request, Session

WEIGHED_AT_ONCE = 32  # requests whose choices are weighed in one call: enough to share prompts, few to lose in a kill

Answered = tuple[list[Reply], float]  # a group of answers, and the CPU seconds that it took


def answer(session: Session, requests: Sequence[Request]) -> Iterator[list[Reply]]:
    """Free answers, and for requests with choices the JSON list of their log-likelihoods."""
    free = [request for request in requests if not request.choices]
    if free:
        yield from session.answer(free)
    weighed = [request for request in requests if request.choices]
    for start in range(0, len(weighed), WEIGHED_AT_ONCE):
        yield _weigh(session, weighed[start : start + WEIGHED_AT_ONCE])


def _weigh(session: Session, requests: Sequence[Request]) -> list[Reply]:
    contexts = [session.text(request.prompt) for request in requests]
    pairs = [(context, choice) for context, request in zip(contexts, requests, strict=True)
             for choice in request.choices]  # fmt: skip
    logs = iter(session.loglikelihood(pairs))
    texts = [json.dumps([next(logs) for _ in each.choices]) for each in requests]
    note = getattr(session, "note", None)
    return [Reply(each.key, text, 0, 0, "stop", note) for each, text in zip(requests, texts, strict=True)]


def timed(groups: Iterable[list[Reply]]) -> Iterator[Answered]:
    """Each group with the CPU seconds of this process that it took, without what is done between the groups."""
    start = time.process_time()
    for replies in groups:
        yield replies, time.process_time() - start
        start = time.process_time()
