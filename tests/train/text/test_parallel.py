"""Several processes give what one gives, in order; what goes wrong in one of them is told; none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from edgelm.errors import BadOption, MissingInput
from edgelm.train.text.parallel import in_order


class Worker:
    """Adds a number; refuses 13; dies of 99."""

    def __init__(self, plus: int) -> None:
        self.plus, self.process = plus, os.getpid()

    def __call__(self, number: int) -> tuple[int, int]:
        if number == 13:
            raise MissingInput("thirteen", why="it brings bad luck", mend="twelve")
        if number == 99:
            os.kill(os.getpid(), signal.SIGKILL)
        return number + self.plus, self.process


def refuse() -> Callable[[int], int]:
    raise MissingInput("no function")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_and_are_made_where_they_should_be(workers: int) -> None:
    found = list(in_order(partial(Worker, 5), range(40, 60), workers))
    assert [(chunk, result[0]) for chunk, result in found] == [(number, number + 5) for number in range(40, 60)]
    processes = {result[1] for _, result in found}
    assert (os.getpid() in processes) is (workers == 1)
    assert len(processes) <= workers


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_worker_refuses_is_told_with_its_mend(workers: int) -> None:
    results = in_order(partial(Worker, 0), range(10, 20), workers)
    assert [next(results)[0] for _ in range(3)] == [10, 11, 12]
    with pytest.raises(MissingInput, match=r"thirteen\nwhy: it brings bad luck\nmend: twelve"):
        next(results)
    with pytest.raises(MissingInput, match="no function"):
        list(in_order(refuse, [1], workers))


def test_a_worker_that_is_killed_is_told() -> None:
    with pytest.raises(BadOption, match=r"ended from outside(?s:.*)fewer workers"):
        list(in_order(partial(Worker, 0), [1, 99, 2], 2))


def test_chunks_are_read_only_a_little_ahead() -> None:
    read: list[int] = []

    def chunks() -> object:
        for number in range(100, 1000):
            read.append(number)
            yield number

    results = in_order(partial(Worker, 0), chunks(), 2)  # type: ignore[arg-type]
    next(results)
    assert len(read) < 10
    results.close()  # type: ignore[attr-defined]


LONG = """
import time
from edgelm.train.text.parallel import in_order

class Slow:
    def __call__(self, number):
        import os
        print(os.getpid(), flush=True)
        time.sleep(120)

if __name__ == "__main__":
    list(in_order(Slow, [1, 2], 2))
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "long.py"
    script.write_text(LONG)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    for _ in range(600):
        if not any(map(_alive, children)):
            break
        time.sleep(0.05)
    assert not any(map(_alive, children))
    parent.stdout.close()


def _alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
