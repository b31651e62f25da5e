"""One run of answers: beginnings on the ids of whole prompts, every reply whole, and each row by its own rules."""

import pytest
import torch

from edgelm.chat import ask
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Request
from edgelm.engines.generate import Generation
from edgelm.engines.model import Forward
from edgelm.engines.render import Rendering
from edgelm.engines.scheduler import Limits
from edgelm.stock import load_model

LIMITS = Limits(3, 10**6, 10**6)


@pytest.fixture(scope="module")
def loaded(make_checkpoint):
    checkpoint = Checkpoint(make_checkpoint("llama", num_hidden_layers=2))
    return Forward(load_model(checkpoint, torch.float32)), Rendering(checkpoint, "base")


def _requests(*questions, caps=None):
    return [Request(f"k{n}", n, ask(text), caps[n] if caps else 4) for n, text in enumerate(questions)]


def test_beginnings_are_found_on_the_ids_of_whole_prompts_not_on_their_text(loaded):
    forward, rendering = loaded
    start = "The quick brown fox " * 6 + "ju"  # the end of this text is the middle of a token of "jumps"
    run = Generation(forward, rendering, _requests(start + "mps", start + "mp 1"), LIMITS)
    assert [list(ids) for ids in run.prompts] == [rendering.ids(start + "mps"), rendering.ids(start + "mp 1")]
    apart = rendering.ids(start)
    assert any(apart != list(ids[: len(apart)]) for ids in run.prompts)
    (group,) = run.packing.groups
    assert all(tuple(ids[: len(group.prefix)]) == group.prefix for ids in run.prompts)
    assert 16 <= len(group.prefix) < len(apart)


def test_every_request_is_answered_once_within_its_cap(loaded):
    caps = [1, 6, 3, 5, 2, 4, 7, 1]
    requests = _requests(*(f"fox {n}" for n in range(8)), caps=caps)
    replies = [reply for group in Generation(*loaded, requests, LIMITS).replies() for reply in group]
    assert sorted(reply.key for reply in replies) == [request.key for request in requests]
    assert all(reply.tokens <= caps[int(reply.key[1:])] for reply in replies)
    assert [reply.key for reply in replies] != sorted(reply.key for reply in replies)


def test_no_more_rows_run_than_may(loaded):
    run = Generation(*loaded, _requests(*(f"fox {n}" for n in range(8))), LIMITS)
    sizes = []
    while not run.packing.schedule.done:
        rows = len(run.packing.schedule.running)
        run._step()
        sizes.append(rows)
    assert max(sizes) <= 3
    assert run.packing.cache.lengths == {} and run.packing.cache.beginnings == {}
