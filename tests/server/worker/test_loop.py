"""A worker that is asked to end does, and the job at hand is given back, whatever goes wrong meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from edgelm.server.worker import loop
from edgelm.server.worker.calls import BadKey, Job, Refusal
from edgelm.server.worker.faults import Fault

JOB = Job("j", 1, "evaluate", 60, 1000, "s", "compression", "miniature", "m")


class Calls:
    """Gives one job, and keeps how it was released."""

    def __init__(self) -> None:
        self.jobs, self.released = [JOB], []

    def lease(self, tags: object) -> Job | None:
        return self.jobs.pop() if self.jobs else None

    def release(self, job: Job, fault: str, code: str, sentence: str, *, away: bool) -> None:
        self.released.append(fault)


@pytest.mark.parametrize("went_wrong", [
    Fault("participant", "crash", "what was written is no answer"), Refusal("the server cannot be reached"),
])  # fmt: skip
def test_what_goes_wrong_while_it_ends_does_not_keep_it(monkeypatch, went_wrong):
    def work(*_: Any) -> None:
        try:
            raise loop.Stopped
        finally:  # the last answers are sent
            try:
                raise went_wrong
            except Refusal as error:
                raise Fault("platform", "platform-fault", "away") from error

    bench: Any = SimpleNamespace(calls=Calls())
    monkeypatch.setattr(loop, "work", work)
    with pytest.raises(loop.Stopped):
        loop.run(bench, once=True, idle=0.0)
    assert bench.calls.released == [""]


def test_of_several_one_that_dies_ends_all(monkeypatch):
    def run(bench: Any, *_: Any, leave: Any, **__: Any) -> None:
        if bench == "dies":
            raise RecursionError
        assert leave.wait(10)

    monkeypatch.setattr(loop, "run", run)
    benches: Any = ["lives", "dies"]
    with pytest.raises(RecursionError):
        loop.run_several(benches)


def test_a_key_that_is_not_known_ends_a_worker_at_once():
    class Refusing(Calls):
        def lease(self, tags: object) -> Job | None:
            raise BadKey("who asks?", mend="give --key-file")

    bench: Any = SimpleNamespace(calls=Refusing())
    with pytest.raises(BadKey):
        loop.run(bench, idle=0.0)
