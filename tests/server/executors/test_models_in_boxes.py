"""Submissions of real models, which are asked and measured in the real box on each cluster's nodes.

EDGELM_MODELS sets their number. `edgelm worker` does all of it, and one is killed. What was measured never comes twice:
the standings are compared with the speeds that the local executor has measured.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")
pytest.importorskip("torch", reason="the extra `model` is not installed")

from sqlalchemy import func, select

from edgelm.errors import Unsupported
from edgelm.server.tables import Job
from edgelm.server.worker.model_box import find_box

from ..whole import tiny
from ..whole.contest import RIVERS, Contest, held, quick
from ..whole.packages import Packer
from .ranking import evaluated, ranked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

MANY, TRACK = int(os.environ.get("EDGELM_MODELS", "4")), "compression"
LEASE = 15  # seconds; longer than a node waits for a sign of its worker
Hold = Callable[[str], contextlib.AbstractContextManager[Contest]]


@pytest.fixture
def hold(models: Sequence[Path], key: Path, clock: Any, tmp_path: Path) -> Hold:
    """`hold(name)`: a competition on a new server, in which the packages wait; the same ones each time."""
    began = clock.now

    @contextlib.contextmanager
    def holding(name: str) -> Iterator[Contest]:
        folder, clock.now = tmp_path / name, began
        url = f"sqlite:///{folder / 'database'}"
        settings = quick(folder, url, tiny.RULES, key).model_copy(update={"lease_seconds": LEASE})
        with held(settings, clock) as contest:
            (folder / "key").write_text(contest.found())
            packer = Packer(folder / "packages", contest.rules)
            for team in RIVERS[:MANY]:
                contest.register(team, (TRACK,), two=False)
            contest.go_to("winter")
            for number, team in enumerate(RIVERS[:MANY]):
                contest.hand_in(team, packer.pack(team, TRACK, models[1:][number % len(models[1:])]))
            yield contest

    return holding


def words(contest: Contest, data: Path, executor: str) -> list[str | Path]:
    """What starts a worker."""
    folder = contest.server.settings.folder
    return [Path(sys.executable).parent / "edgelm", "worker", "--server", contest.url, "--key-file", folder / "key",
            "--folder", folder / "worker", "--data", data, "--executor", executor, "--jobs", "2", "--once"]  # fmt: skip


def count(contest: Contest, **fields: str) -> int:
    with contest.server.database.read() as session:
        return session.scalar(select(func.count()).select_from(Job).filter_by(**fields)) or 0


def work(contest: Contest, data: Path, executor: str, *, kill: bool = False) -> None:
    """Workers do all that waits; the first is killed in the middle of two of the evaluations."""
    if kill:
        first = subprocess.Popen(words(contest, data, executor), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        evaluations = partial(count, contest, kind="evaluate")
        while evaluations(state="done") < MANY // 4 or not evaluations(state="leased"):
            assert first.poll() is None
            time.sleep(0.1)
        first.kill()
        first.wait()
        while count(contest, state="leased"):
            time.sleep(0.1)
    done = subprocess.run(words(contest, data, executor), capture_output=True, text=True, check=False)
    assert count(contest, kind="evaluate", state="done") == MANY, done.stderr


def test_models_in_boxes_on_clusters_rank_as_those_of_the_local_executor_also_when_a_worker_is_killed(
    data: Path, hold: Hold, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    try:
        find_box()
    except Unsupported as error:
        pytest.skip(str(error))
    with hold("local") as contest:
        work(contest, data, "local")
        local = evaluated(contest.server)
        expected = ranked(contest.server, local)
    assert len(expected.board) == MANY
    assert len({row.rank for row in expected.board}) > MANY // 2
    request.getfixturevalue("slurm")
    ray = request.getfixturevalue("ray")
    for executor in ("slurm:silence=3", f"ray:address={ray.address},silence=3"):
        with hold(executor.partition(":")[0]) as contest:
            work(contest, data, executor, kill=True)
            found = evaluated(contest.server)
            for name, reports in local.items():
                for slot, report in reports.items():
                    assert found[name][slot].tasks == report.tasks, (executor, name)
            assert ranked(contest.server, found, measured=local).to_bytes() == expected.to_bytes()
