"""Bare requests: what an engine needs to answer, without a task's name, a row's place or what is expected.

    python -m edgelm.evaluate.bare CHECKPOINT REQUESTS ANSWERS ENGINE PROMPTING SHARES

answers a file of them, in so many shares one after the other, for a place that must not know more: a model that a
stranger handed in gets nothing else to see. Requests stand in an order that only a secret tells. Rows whose batch is
part of the arithmetic stay together, so that each answer is the one that `edgelm evaluate` gets.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import Any, cast

from edgelm.chat import Prompt, Prompting, Turn
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Engine, Reply, Request
from edgelm.errors import BadFile, exit_code
from edgelm.evaluate.answers import TOGETHER
from edgelm.evaluate.asking import answer
from edgelm.evaluate.leases import units
from edgelm.evaluate.questions import Questions
from edgelm.files import JsonLog, canonical_json
from edgelm.plugins import parse


def shuffled(
    asked: Iterable[Questions], engine: Engine, secret: bytes, submission: str, others: Iterable[Request] = ()
) -> list[Request]:
    """All requests once, each at a new place: whole units of rows, in the order of their codes under the secret.

    Args:
        asked: the questions of tasks.
        engine: that will answer.
        secret: of the order.
        submission: that the order is made for.
        others: requests that belong to no task, each a unit of its own.
    """
    together = getattr(engine, "together", TOGETHER)
    seen: set[str] = set()
    coded: list[tuple[bytes, tuple[Request, ...]]]
    coded = [(code(secret, submission, request.key), (request,)) for request in others]
    for each in asked:
        rows = []
        for sample, request in each.rows:
            if request.key not in seen:
                seen.add(request.key)
                rows.append((sample, request))
        for number, unit in enumerate(units(each.task.label, rows, together)):
            coded.append((code(secret, submission, each.task.label, number), unit.requests))
    ordered = [requests for _, requests in sorted(coded, key=lambda pair: pair[0])]
    return [replace(request, index=place * together + request.index % together)
            for place, requests in enumerate(ordered) for request in requests]  # fmt: skip


def code(secret: bytes, *names: str | int) -> bytes:
    """A place in an order that only the secret tells: HMAC-SHA256 over the names, kept apart."""
    return hmac.digest(secret, canonical_json(list(names)), "sha256")


def lines_of(requests: Iterable[Request]) -> bytes:
    """Requests as a file has them, a line each."""
    return b"".join(JsonLog.line(_row(request)) for request in requests)


def _row(request: Request) -> dict[str, Any]:
    prompt = request.prompt
    return {
        "key": request.key, "index": request.index, "turns": [[turn.role, turn.text] for turn in prompt.turns],
        "base_start": prompt.base_start, "max_tokens": request.max_tokens, "stop": list(request.stop),
        "choices": list(request.choices),
    }  # fmt: skip


def requests_of(path: Path) -> list[Request]:
    """The requests in a file.

    Raises:
        BadFile: it holds something else.
    """
    try:
        return [_request(row) for row in JsonLog(path).read(repair=False)]
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path} holds no bare requests", why=repr(error)) from None


def _request(row: dict[str, Any]) -> Request:
    prompt = Prompt(tuple(Turn(role, text) for role, text in row["turns"]), row["base_start"])
    return Request(row["key"], row["index"], prompt, row["max_tokens"], tuple(row["stop"]), tuple(row["choices"]))


def shares(requests: Sequence[Request], engine: Engine, number: int) -> list[list[Request]]:
    """Requests in so many parts, one after the other; rows whose batch is part of the arithmetic stay together."""
    together = getattr(engine, "together", 1)
    batches = [list(rows) for _, rows in groupby(requests, key=lambda request: request.index // together)]
    bounds = [len(batches) * place // number for place in range(number + 1)]
    return [[*chain.from_iterable(batches[start:end])] for start, end in pairwise(bounds)]


def answer_all(
    checkpoint: Checkpoint, requests: Sequence[Request], engine: Engine, prompting: Prompting, out: Path,
    number: int = 1,
) -> None:  # fmt: skip
    """Answer requests into a log, each group as it comes, in so many shares."""
    with JsonLog(out) as log, engine.open(checkpoint, prompting) as session:
        for share in shares(requests, engine, number):
            for replies in answer(session, share):
                log.append(map(row_of, replies))


def row_of(reply: Reply) -> dict[str, Any]:
    """A reply as logs of answers have it."""
    return {name: value for name, value in vars(reply).items() if value is not None}


def main(words: Sequence[str]) -> int:
    """See the module."""
    checkpoint, requests, answers, engine, prompting, number = words
    return exit_code(lambda: answer_all(
        Checkpoint(Path(checkpoint)), requests_of(Path(requests)), parse("engines", engine),
        cast(Prompting, prompting), Path(answers), int(number),
    ))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
