"""A whole competition whose models are asked and measured by the real worker in the real box.

Twenty teams share ten models: one that was trained here, and nine that were made of it. The second server, on the other
database, is told what the boxes of the first one wrote: figures of speed never come twice, and standings have to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")
pytest.importorskip("torch", reason="the extra `model` is not installed")

from edgelm.errors import Unsupported
from edgelm.server.worker.bench import Bench
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import Executor
from edgelm.server.worker.executors.local import Local
from edgelm.server.worker.model_box import ModelBox, find_box

from . import outcome, tiny
from .contest import OF, RIVERS, TRACKS, Contest, held, quick
from .packages import Packer
from .playing import Remembering, Repeating

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def box() -> ModelBox:
    try:
        return find_box()
    except Unsupported as error:
        pytest.skip(str(error))


def play(contest: Contest, models: Sequence[Path], folder: Path, bench: Bench, jobs: int) -> dict[str, bytes]:
    """The competition; what the world has of it in the end.

    Args:
        contest: on a new server.
        models: that the teams share.
        folder: for packages and bundles.
        bench: of the worker, but for its calls.
        jobs: that it does at once.
    """
    http = httpx.Client(base_url=contest.url, headers={"Authorization": f"Bearer {contest.found()}"}, timeout=60)
    benches = [replace(bench, calls=Calls(http)) for _ in range(jobs)]
    packer, handed_in = Packer(folder / "packages", contest.rules), list[dict[str, Any]]()
    for name in RIVERS:
        contest.register(name, OF[name], two=False)
    contest.go_to("review")
    reviewed = contest.hand_in("Aare", packer.pack("Aare", TRACKS[0], models[1]))
    assert contest.work(*benches) == [] and contest.state(reviewed)[0] == "accepted"
    contest.go_to("winter")
    for number, name in enumerate(RIVERS):
        for track in OF[name]:
            own = models[1:] if track == "compression" else models  # the base itself was not compressed
            handed_in.append(contest.hand_in(name, packer.pack(name, track, own[number % len(own)])))
    assert {each["state"] for each in handed_in} == {"checking"}
    assert contest.work(*benches) == []
    assert {contest.state(each) for each in handed_in} == {("scored", "", "")}
    contest.close("winter")
    for track in TRACKS:
        outcome.published(contest, track)
    outcome.final(contest, TRACKS)
    found = {}
    for track in TRACKS:
        found |= outcome.boards(contest, track) | outcome.bundle(contest, track, folder / f"{track}-bundle")
    contest.go_to("proof")
    for track in TRACKS:
        found[f"{track}: stage 2"] = json.dumps(outcome.examined(contest, packer, track)).encode()
    return found


def test_models_are_evaluated_and_the_other_database_has_the_same_standings(
    data: Path, models: Sequence[Path], box: ModelBox, key: Path, clock: Any, tmp_path: Path, sqlite_url: str,
    postgresql_url: str,
) -> None:  # fmt: skip
    began, found = clock.now, []
    real, again = Remembering(Local(), tmp_path / "written"), Repeating(tmp_path / "written")
    runs: Sequence[tuple[str, Executor, int]] = ((sqlite_url, real, 2), (postgresql_url, again, 1))
    for url, executor, jobs in runs:
        folder, clock.now = tmp_path / f"with-{jobs}", began
        bench = Bench(Calls(httpx.Client()), executor, box, folder / "work", data)
        with held(quick(folder / "server", url, tiny.RULES, key), clock) as contest:
            found.append(play(contest, models, folder, bench, jobs))
            for track, teams in zip(TRACKS, (16, 8), strict=True):
                lines = contest.get(f"/boards/{track}?limit=100")["lines"]
                assert len(lines) == teams
                sizes = {line["size"]["parameters"] for line in lines}
                assert len(sizes) >= 8 and all(line["size"]["memory"] > 0 for line in lines)
    on_sqlite, on_postgresql = found
    assert on_sqlite.keys() == on_postgresql.keys()
    assert [name for name in on_sqlite if on_sqlite[name] != on_postgresql[name]] == []
