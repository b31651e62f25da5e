"""How far a model repeats itself: some answers of the journal, and those of a fresh process to the same requests.

What it does not repeat by itself, neither a second process of the same evaluation nor stage 2 can hold it to.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edgelm.checkpoint import validate
from edgelm.files import canonical_json, parse_json
from edgelm.server.worker import asking, package
from edgelm.server.worker.journal import Journal, Line, answers_of
from edgelm.server.worker.rendering import Asked, Rendered
from edgelm.server.worker.steps import Steps

AGAIN = 32  # requests that are answered a second time
_WHAT = "the agreement"


class Agreement(BaseModel):
    """So many answers of so many are the same, and so many of their tokens."""

    model_config = ConfigDict(frozen=True)

    same: int
    of: int
    same_tokens: int
    tokens: int


def agreement(steps: Steps, asked: Asked, rendered: Rendered, journal: Journal, folder: Path) -> Agreement:
    """How a fresh process answers the first requests, which the secret order draws.

    They are asked in the shares in which they are asked between timed repeats, so that rounding is the same in both;
    and again where another worker has taken over, since machines round differently.
    """
    part, calls = f"{asked.slot}/agreement", steps.bench.calls
    timed = f"{asked.slot}/throughput" in steps.job.done  # otherwise it is, in a moment, on this machine
    if timed and (blob := steps.job.done.get(part, (0, 0, None))[2]):
        kept = package.fetched(calls, steps.job, steps.bench.cache, blob, steps.keeping.hold)
        return validate(Agreement, parse_json(kept.read_bytes(), _WHAT), _WHAT)
    keys, writes = rendered.again(AGAIN), folder / "again"
    done = asking.answered(
        steps, asked, rendered, rendered.with_fixed(keys), writes, part, shares=len(rendered.texts) - 1
    )
    if not done.good:
        raise steps.fault(done)
    second = steps.from_box(part, lambda: answers_of(writes))
    found = counted({key: (journal.texts[key], journal.tokens[key]) for key in keys}, second)
    blob = calls.put(steps.job, canonical_json(found.model_dump()))
    calls.progress(steps.job, part=part, done=found.same, of=found.of, blob=blob)
    return found


def counted(first: Mapping[str, tuple[str, int]], second: Mapping[str, Line]) -> Agreement:
    """Compare answers, each as its text and number of tokens, with others."""
    same = same_tokens = tokens = 0
    for key, one in first.items():
        other = (second[key].text, second[key].tokens) if key in second else ("", 0)
        same += one == other
        same_tokens += one[1] if one == other else min(_begun(one, other), _begun(other, one))
        tokens += max(one[1], other[1])
    return Agreement(same=same, of=len(first), same_tokens=same_tokens, tokens=tokens)


def _begun(one: tuple[str, int], other: tuple[str, int]) -> int:
    """The tokens of an answer before it parts from another: by its text, as whole tokens of its mean length."""
    text, tokens = one
    alike = next((at for at, (a, b) in enumerate(zip(text, other[0], strict=False)) if a != b),
                 min(len(text), len(other[0])))  # fmt: skip
    return tokens * alike // max(1, len(text))
