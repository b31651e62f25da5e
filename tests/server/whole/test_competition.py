"""A whole competition, from the first administrator to the awards: twice, on both databases, with the same standings.

Its packages hold tiny models, and its worker is the real one, whose executor plays: what a model scores follows from
its digest. Those of `test_competition_evaluated.py` are asked and measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")
pytest.importorskip("torch", reason="the extra `model` is not installed")

from sqlalchemy import select

from edgelm.checkpoint import Checkpoint
from edgelm.server import backup, duplicates
from edgelm.server.client import Rejected
from edgelm.server.database import Database
from edgelm.server.restore import restore
from edgelm.server.settings import read_settings
from edgelm.server.tables import Job
from edgelm.server.worker.bench import Bench, Secrets
from edgelm.server.worker.calls import Calls
from edgelm.server.worker.executors.base import Ended

from ..executors.played import Box
from . import outcome
from .contest import OF, RIVERS, TRACKS, Contest, held, quick
from .packages import Packer, carded
from .playing import Playing

pytestmark = pytest.mark.slow

RULES = (
    "miniature:tasks=commonsenseqa+gsm8k+chid+holdout,holdouts=secret,prompt_tokens=16,generated_tokens=4,"
    "objection_days=7"
)
PLATFORM, MEMORY = Ended("cancelled"), Ended("memory")


class Models:
    """Tiny models, each of its own size and weights; the same on whatever server they are handed in."""

    def __init__(self, make: Callable[..., Path]) -> None:
        self._make, self._made = make, dict[tuple[str, int], Path]()

    def __call__(self, track: str, number: int) -> Path:
        """The model of that number for a track."""
        if (track, number) not in self._made:
            made = self._make("llama", dtype="float16", seed=number + 100 * TRACKS.index(track), num_hidden_layers=2,
                              intermediate_size=64 + 8 * (number % 10))  # fmt: skip
            self._made[track, number] = carded(made, track)
        return self._made[track, number]


@pytest.fixture(scope="module")
def models(make_checkpoint: Callable[..., Path]) -> Models:
    return Models(make_checkpoint)


class Script:
    """What happens in the competition.

    Args:
        contest: on a new server.
        models: of its teams.
        folder: for packages and for what the worker needs.
    """

    def __init__(self, contest: Contest, models: Models, folder: Path) -> None:
        self.contest, self.models, self.folder = contest, models, folder
        self.packer = Packer(folder / "packages", contest.rules)
        self.ends = dict[str, list[Ended]]()

    def play(self) -> dict[str, bytes]:
        """All of it; what the world has of it in the end."""
        self.register()
        self.review()
        self.score()
        self.decide()
        outcome.final(self.contest, TRACKS)
        found = {}
        for track in TRACKS:
            found |= outcome.boards(self.contest, track)
            found |= outcome.bundle(self.contest, track, self.folder / f"{track}-bundle")
        self.contest.go_to("proof")
        for track in TRACKS:
            found[f"{track}: stage 2"] = json.dumps(outcome.examined(self.contest, self.packer, track)).encode()
        self.contest.work(self.bench)
        return found

    def register(self) -> None:
        """Twenty teams; in every third there are two."""
        contest = self.contest
        http = httpx.Client(base_url=contest.url, headers={"Authorization": f"Bearer {contest.found()}"}, timeout=60)
        secrets = Secrets(holdouts=(self.folder / "sealed",), key=self.folder / "key")
        for each in (*secrets.holdouts, secrets.key):
            each.write_bytes(b"nobody opens it here: rendering is played")
        executor = Playing(contest.rules, self.ends)
        self.bench = Bench(Calls(http), executor, Box(), self.folder / "work", secrets=secrets)
        for number, name in enumerate(RIVERS):
            contest.register(name, OF[name], two=number % 3 == 0)
        contest.ada.log_in()
        assert len(contest.ada.get("/teams")) == 20

    def review(self) -> None:
        """The preliminary review: packages are checked, and nothing is evaluated."""
        contest = self.contest
        contest.go_to("review")
        made = [contest.hand_in(name, self.packer.pack(name, OF[name][0], None)) for name in RIVERS[:3]]
        assert contest.work(self.bench) == []
        assert [contest.state(each)[0] for each in made] == ["accepted"] * 3
        slots = contest.ada.get(f"/teams/{contest.teams['Aare'].id}/slots")["ledgers"]
        assert [len(each["slots"]) for each in slots] == [0, 3], "none in the review"

    def score(self) -> None:
        """The scored phase, with all that can come between."""
        contest = self.contest
        contest.close("review")
        contest.go_to("winter")
        assert [each["state"] for each in contest.get("/boards")] == ["live", "live"]
        self.three_slots("Aare")
        self.refused_and_mended("Bode")
        self.withdrawn("Cher")
        self.repeated("Drau")
        self.failed_and_granted("Elbe")
        self.flagged("Fulda")
        self.copied("Garonne", "Havel")
        for number, name in enumerate(RIVERS[8:], 8):
            for track in OF[name]:
                self.hand_in(name, track, number)
        contest.work(self.bench)
        contest.close("winter")
        with pytest.raises(Rejected) as late:
            self.hand_in("Inn", "compression", 50)
        assert late.value.code == "SUB-02"
        assert [each["state"] for each in contest.get("/boards")] == ["frozen", "frozen"]

    def hand_in(self, name: str, track: str, number: int, **package: Any) -> dict[str, Any]:
        """A team hands in a model."""
        return self.contest.hand_in(name, self.packer.pack(name, track, self.models(track, number), **package))

    def three_slots(self, name: str) -> None:
        """A team uses its slots; there is no fourth."""
        made = [self.hand_in(name, "compression", number) for number in (20, 21, 22)]
        assert [each["slot"] for each in made] == [1, 2, 3]
        assert self.contest.work(self.bench) == []
        with pytest.raises(Rejected) as refused:
            self.hand_in(name, "compression", 23)
        assert refused.value.code == "SUB-03"

    def refused_and_mended(self, name: str) -> None:
        """A package that the checker refuses takes no slot."""
        bad = self.hand_in(name, "compression", 1, proof=False)
        assert (bad["state"], bad["code"], bad["slot"]) == ("refused", "BND-01", None)
        assert self.hand_in(name, "compression", 1)["slot"] == 1

    def withdrawn(self, name: str) -> None:
        """A team takes a package back before it is evaluated, and has its slot again."""
        contest, captain = self.contest, self.contest.teams[name].captain
        captain.log_in()
        first = self.hand_in(name, "compression", 24)
        assert captain.post(f"/submissions/{first['id']}/withdraw")["state"] == "withdrawn"
        assert self.hand_in(name, "compression", 2)["slot"] == first["slot"] == 1
        contest.work(self.bench)
        assert contest.state(first)[0] == "withdrawn"

    def repeated(self, name: str) -> None:
        """The platform fails twice at one, which is tried again and costs nothing."""
        self.ends[Checkpoint(self.models("compression", 3)).digest] = [PLATFORM, PLATFORM]
        made = self.hand_in(name, "compression", 3)
        self.contest.work(self.bench)
        assert self.contest.state(made)[0] == "scored"
        with self.contest.server.database.read() as session:
            job = session.scalars(select(Job).filter_by(submission_id=made["id"], kind="evaluate")).one()
            assert (job.attempt, job.fence) == (3, 3)

    def failed_and_granted(self, name: str) -> None:
        """A model needs too much memory, which spends the slot; the organisers grant the appeal, and one slot more."""
        contest, team = self.contest, self.contest.teams[name]
        self.ends[Checkpoint(self.models("compression", 4)).digest] = [MEMORY]
        made = self.hand_in(name, "compression", 4)
        contest.work(self.bench)
        assert contest.state(made)[:2] == ("failed", "participant")
        contest.appeal(name, made, "granted")
        slot = contest.bo.post("/admin/slots/grant", {"team": team.id, "track": "compression", "phase": "winter",
                                                      "reason": "the appeal was granted"})  # fmt: skip
        assert slot["number"] == 4
        assert self.hand_in(name, "compression", 25)["slot"] == 2

    def flagged(self, name: str) -> None:
        """What the checker flags is looked at by a reviewer, who finds no offence."""
        contest = self.contest
        source = {"README.md": "python train.py\n", "train.py": "rows = load_dataset('EleutherAI/pile')\n"}
        made = self.hand_in(name, "compression", 5, source=source)
        contest.work(self.bench)
        assert contest.state(made) == ("scored", "", "open")
        contest.rita.log_in()
        contest.rita.post(f"/admin/reviews/{made['id']}/clear", {"reason": "it is read and not trained on"})
        assert contest.state(made)[2] == "cleared"

    def copied(self, name: str, other: str) -> None:
        """Two teams bring the same weights; one has copied, as two people find."""
        contest = self.contest
        copies = [self.hand_in(each, "compression", 6) for each in (name, other)]
        contest.work(self.bench)
        duplicates.compare(contest.server)
        contest.rita.log_in()
        reviews = {each["submission"]: each["flags"][0]["code"] for each in contest.rita.get("/admin/reviews")}
        assert reviews == {each["id"]: "DUP-01" for each in copies}
        contest.rita.post(f"/admin/reviews/{copies[0]['id']}/clear", {"reason": "this team trained it"})
        found = {"offence": "copying", "evidence": "the same weights, later", "reason": "copied"}
        contest.bo.log_in()
        proposed = contest.bo.post(f"/admin/reviews/{copies[1]['id']}/confirm", found)
        contest.ada.log_in()
        contest.ada.post(f"/admin/decisions/{proposed['id']}/second")
        out = {each["team"]: each["reasons"] for each in contest.get("/boards/compression")["ineligible"]}
        assert "copying" in out[other][0] and name not in out

    def decide(self) -> None:
        """From frozen to provisional boards; a disqualification, a task voided and not, an appeal dismissed."""
        contest = self.contest
        for track in TRACKS:
            outcome.published(contest, track)
        board = contest.get("/boards/compression?limit=100")
        last = board["lines"][-1]
        contest.decide(f"submissions/{last['submission']}/disqualify", {"offence": "dtype", "evidence": "int8 tensors"})
        contest.decide("void", {"track": "compression", "task": "gsm8k"}, alone=True)
        assert contest.get("/boards/compression")["void"] == ["gsm8k"]
        contest.decide("void", {"track": "compression", "task": "gsm8k", "lift": True}, alone=True)
        contest.appeal(board["lines"][0]["team"], {"id": board["lines"][0]["submission"]}, "dismissed")
        after = contest.get("/boards/compression?limit=100")
        assert after["void"] == [] and after["revision"] == board["revision"] + 3
        assert {last["team"], "Havel"} <= {each["team"] for each in after["ineligible"]}
        assert after["teams"] == 14 == board["teams"] - 1


def test_the_same_competition_on_both_databases(
    models: Models, key: Path, clock: Any, tmp_path: Path, sqlite_url: str, postgresql_url: str, elsewhere: Any,
    consistent: Any,
) -> None:  # fmt: skip
    found = {}
    for url, other in ((sqlite_url, "postgresql"), (postgresql_url, "sqlite")):
        folder, began = tmp_path / url.partition(":")[0].partition("+")[0], clock.now
        with held(quick(folder / "server", url, RULES, key), clock) as contest:
            found[url] = Script(contest, models, folder).play()
            contest.ada.log_in()
            audit = contest.ada.post("/admin/audit/verify")
            assert audit["first_break"] is audit["first_lost_head"] is None and audit["entries"] > 500
            with contest.server.database.write() as session:
                consistent(session, contest.server.storage)
            again_on_another(contest, folder, elsewhere(other))
        clock.now = began
    on_sqlite, on_postgresql = found.values()
    assert on_sqlite.keys() == on_postgresql.keys() and len(on_sqlite) > 100
    assert [name for name in on_sqlite if on_sqlite[name] != on_postgresql[name]] == []


def again_on_another(contest: Contest, folder: Path, database: str) -> None:
    """A backup of the running server, restored on an empty machine with the other database, shows the same to all."""
    paths = [f"/boards/{track}/{what}" for track in TRACKS for what in ("standings", "bundle", "history")]
    before = {path: contest.fetch(path) for path in paths}
    taken = backup.take(contest.server.settings, folder / "backups", contest.clock())
    assert taken.lost == []
    restore(folder / "backups", folder / "restored", database=database, expected=taken.snapshot.head)
    with held(read_settings(folder / "restored"), contest.clock) as again:
        assert again.server.database.engine.dialect.name != contest.server.database.engine.dialect.name
        assert {path: again.fetch(path) for path in paths} == before
        for track in TRACKS:
            assert outcome.bundle(again, track, folder / f"{track}-again")
    board = next((folder / "compression-again").iterdir())
    words = (sys.executable, "-m", "edgelm", "replay", board, "--key", contest.key)
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout == "the same bytes\n"


@pytest.fixture
def elsewhere(made_postgresql: Callable[[str], str]) -> Callable[[str], str]:
    """`elsewhere("postgresql")`: the address of an empty database without tables; "" for SQLite in the folder."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return ""
        url = made_postgresql("restored_competition")
        database = Database(url)
        database.migrate("base")
        database.close()
        return url

    return make
