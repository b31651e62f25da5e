"""A crowd at once: many teams hand in while eight workers evaluate, and nothing is lost or done twice.

EDGELM_TEAMS sets their number. Packages, uploads, checks, leases and boards are real; models are played, and what each
reaches is reckoned here, too, so that the standings can be held against those of the pure function.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")
pytest.importorskip("torch", reason="the extra `model` is not installed")

import torch
from safetensors.torch import load_file, save_file
from sqlalchemy import select

from edgelm.checkpoint import Checkpoint
from edgelm.score.collect import slot_model
from edgelm.score.entries import Entry
from edgelm.score.standings import standings
from edgelm.server.clock import moment
from edgelm.server.start import start
from edgelm.server.tables import Job, Submission
from edgelm.server.worker import loop
from edgelm.server.worker.bench import Bench
from edgelm.server.worker.calls import Calls

from ..executors.played import Box
from .contest import TRACKS, Contest, quick
from .hosting import hosted
from .packages import Packer, carded
from .playing import Playing, reached

TEAMS, EACH, WORKERS, UPLOADERS = int(os.environ.get("EDGELM_TEAMS", "6")), 3, 8, 4
RULES = "miniature:tasks=commonsenseqa+gsm8k+chid,prompt_tokens=16,generated_tokens=4"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(params=["sqlite", "postgresql"])
def contest(request: pytest.FixtureRequest, key: Path, clock: Any, tmp_path: Path) -> Iterator[Contest]:
    """A competition whose server does by itself what servers do."""
    url = request.getfixturevalue(f"{request.param}_url")
    server = start(quick(tmp_path / "server", url, RULES, key), clock)
    with hosted(server) as address:
        yield Contest(address, server, clock, key.with_suffix(".pub"))


@pytest.fixture
def packages(make_checkpoint: Callable[..., Path], contest: Contest, tmp_path: Path) -> list[tuple[str, Path]]:
    """Team and package of all that is handed in, in the order in which it is; no two models are alike."""
    base = make_checkpoint("llama", dtype="float16", num_hidden_layers=2, intermediate_size=64)
    packer, made = Packer(tmp_path / "packages", contest.rules), []
    for number, track, team in itertools.product(range(EACH), TRACKS, range(TEAMS)):
        model = carded(_another(base, tmp_path / "models" / f"{number}-{track}-{team}", len(made)), track)
        made.append((f"Team {team}", packer.pack(f"Team {team}", track, model)))
    return made


def test_nothing_is_lost_or_done_twice(
    contest: Contest, packages: list[tuple[str, Path]], consistent: Any, tmp_path: Path
) -> None:
    key = contest.found()
    for number in range(TEAMS):
        contest.register(f"Team {number}", TRACKS, two=False)
    contest.go_to("winter")
    began = time.monotonic()
    with _working(contest, key, tmp_path), ThreadPoolExecutor(UPLOADERS) as pool:
        made = pool.map(lambda each: _hand_in(contest, *each), packages)
        handed_in = {id: package for id, (_, package) in zip(made, packages, strict=True)}
        while set(states := _states(contest)) != {"scored"}:
            assert not {"failed", "refused"} & set(states) and time.monotonic() - began < 7200
            time.sleep(0.2)
    assert len(handed_in) == len(packages) == len(_states(contest))
    print(f"{len(packages)} scored in {time.monotonic() - began:.0f} s")
    with contest.server.database.write() as session:
        consistent(session, contest.server.storage)
        for job in session.scalars(select(Job)):
            assert (job.state, job.attempt, job.fence) == ("done", 1, 1)
    for _ in range(2):  # the server does so by itself, too, and its last look may be older
        contest.follow()
    for track in TRACKS:
        board = contest.get(f"/boards/{track}?limit={TEAMS}")
        expected = standings(contest.rules, contest.rules.track(track), _entries(contest, track, handed_in))
        places = {row.team: (row.rank, str(row.total)) for row in expected.board}
        assert board["teams"] == TEAMS == len(places)
        assert {line["team"]: (line["rank"], line["total"]) for line in board["lines"]} == places


def _another(base: Path, folder: Path, number: int) -> Path:
    shutil.copytree(base, folder)
    [file] = folder.glob("*.safetensors")
    noise = torch.Generator().manual_seed(number)
    save_file({name: torch.randn(each.shape, generator=noise).to(each.dtype) / 8
               for name, each in load_file(file).items()}, file, {"format": "pt"})  # fmt: skip
    return folder


def _hand_in(contest: Contest, team: str, package: Path) -> str:
    return str(contest.hand_in(team, package)["id"])


@contextlib.contextmanager
def _working(contest: Contest, key: str, folder: Path) -> Iterator[None]:
    """Workers evaluate what there is until the block ends."""
    stop, bearer = threading.Event(), {"Authorization": f"Bearer {key}"}
    with ThreadPoolExecutor(WORKERS) as pool:
        workers = []
        for _ in range(WORKERS):
            calls = Calls(httpx.Client(base_url=contest.url, headers=bearer, timeout=60))
            bench = Bench(calls, Playing(contest.rules, {}), Box(), folder / "work")
            workers.append(pool.submit(loop.run, bench, idle=0.1, stop=stop))
        try:
            yield
        finally:
            stop.set()
        for worker in workers:
            worker.result()


def _states(contest: Contest) -> list[str]:
    with contest.server.database.read() as session:
        return list(session.scalars(select(Submission.state)))


def _entries(contest: Contest, track: str, packages: Mapping[str, Path]) -> Iterator[Entry]:
    """What was handed in to a track, with what is reckoned of its models."""
    with contest.server.database.read() as session:
        for one in session.scalars(select(Submission).filter_by(track=track)):
            models = {path.parent.name: slot_model(contest.rules, reached(contest.rules, Checkpoint(path)))
                      for path in packages[one.id].glob("models/*/checkpoint")}  # fmt: skip
            yield Entry(submission=one.id, team=one.team.name, received=moment(one.received), models=models)
