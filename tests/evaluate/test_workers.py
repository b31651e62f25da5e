"""The coordinator: it hands out chunks, takes what comes, and ends whatever the workers do."""

import pytest

from edgelm.chat import ask
from edgelm.engines.base import Reply, Request
from edgelm.errors import BadOption, NoSpace, Unsupported
from edgelm.evaluate.leases import Leases, units
from edgelm.evaluate.workers import Signal, Workers, distribute
from edgelm.tasks.base import Sample


class _Pool:
    """Workers in name only: one step of each worker for every look at them."""

    def __init__(self, poison=(), dies_loading=False, mute=(), refuses=False):
        self.poison, self.dies_loading, self.mute, self.refuses = poison, dies_loading, mute, refuses
        self.started, self.ended, self.chunks = 0, [], {}

    def start(self):
        self.started += 1
        self.chunks[self.started] = None
        return self.started

    def ask(self, worker, chunk):
        self.chunks[worker] = list(chunk)

    def signals(self, seconds):
        return [signal for worker in sorted(self.chunks) if (signal := self._step(worker))]

    def _step(self, worker):
        chunk = self.chunks[worker]
        if self.refuses:
            return Signal(worker, "refused", refusal=NoSpace("no such model", mend="find it"))
        if self.dies_loading or (chunk and chunk[0].key in self.poison):
            del self.chunks[worker]
            return Signal(worker, "lost")
        if chunk and worker in self.mute:
            return None
        if chunk:
            request = chunk.pop(0)
            return Signal(worker, "answered", [Reply(request.key, "a", 1, 1, "stop")], cpu_seconds=0.5)
        return Signal(worker, "idle")

    def end(self, worker):
        self.ended.append(worker)
        del self.chunks[worker]


def _leases(number=20, workers=2, **options):
    samples = [Sample(f"s-{n}", n, ask("?"), "") for n in range(number)]
    rows = [(each, Request(f"k{each.index}", each.index, each.prompt, 8)) for each in samples]
    return Leases(units("t", rows, 1), workers, **options)


def _answered(pool, leases, workers=2, **options):
    groups = distribute(pool, leases, workers, **options)
    return sorted(int(reply.key[1:]) for replies, _ in groups for reply in replies)


def test_all_is_answered_once_and_readiness_and_processor_time_are_told():
    groups = list(distribute(_Pool(), _leases(), 2))
    assert groups[0] == ([], 0.0)
    assert sorted(reply.key for replies, _ in groups for reply in replies) == sorted(f"k{n}" for n in range(20))
    assert sum(seconds for _, seconds in groups) == 10.0


def test_what_kills_every_worker_is_set_aside_and_all_else_is_answered():
    leases, pool = _leases(), _Pool(poison={"k3", "k4"})
    assert _answered(pool, leases) == [n for n in range(20) if n not in (3, 4)]
    assert sorted(request.key for unit in leases.set_aside for request in unit.requests) == ["k3", "k4"]
    assert pool.started <= 2 + 2 * 3


def test_many_that_kill_end_the_run_soon():
    leases, pool = _leases(), _Pool(poison={f"k{n}" for n in range(5, 20)})
    assert _answered(pool, leases) == [0, 1, 2, 3, 4]
    assert len(leases.set_aside) == 15
    assert pool.started < 45


def test_workers_that_die_before_they_answer_end_the_run():
    pool = _Pool(dies_loading=True)
    with pytest.raises(Unsupported, match="before they have answered anything"):
        _answered(pool, _leases())
    assert pool.started < 12


def test_workers_that_can_load_no_more_end_the_run_though_a_question_was_set_aside_before():
    class Failing(_Pool):
        def _step(self, worker):
            self.dies_loading = self.started > 3
            return super()._step(worker)

    rows = [(Sample(f"s-{n}", n, ask("?" * 10 ** (5 - n)), "", f"of its own {n}"), n) for n in range(4)]
    asked = [(each, Request(f"k{n}", n, each.prompt, 8)) for each, n in rows]
    leases, pool = Leases(units("t", asked, 1), 1), Failing(poison={"k0"})
    with pytest.raises(Unsupported, match="workers end"):
        for _ in distribute(pool, leases, 1):
            assert pool.started < 100
    assert [request.key for unit in leases.set_aside for request in unit.requests] == ["k0"]


def test_a_refusal_of_one_worker_is_the_runs():
    with pytest.raises(NoSpace) as refused:
        _answered(_Pool(refuses=True), _leases())
    assert (refused.value.what, refused.value.mend) == ("no such model", "find it")


def test_a_worker_without_a_sign_of_life_is_ended_and_replaced():
    now = iter(range(10_000))
    pool, leases, told = _Pool(mute={1}), _leases(patience=50, clock=lambda: next(now)), []
    assert _answered(pool, leases, say=told.append) == list(range(20))
    assert told == ["worker 1 gave no sign of life and was ended; its rows are asked again"]
    assert pool.ended == [1] and pool.started == 3


@pytest.mark.parametrize(("text", "number", "transport"), [("4", 4, "spawned"), ("ray:2", 2, "ray")])
def test_workers_as_they_are_written(text, number, transport):
    assert Workers.parse(text) == Workers(number, transport)


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "ray:", "ray", "dask:2", ":3"])
def test_workers_that_are_none(text):
    with pytest.raises(BadOption, match="workers"):
        Workers.parse(text)
