"""What a competition comes to: the final board and its bundle, the examination of the best, the awards."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelm.score.replay import replay
from edgelm.score.signature import against_signature, public_key

from .contest import DAY, Contest
from .packages import Packer

ALIKE = ("rules.json", "marks")  # of a bundle, beside the board's folder; the rest tells of evaluations and one server


def published(contest: Contest, track: str) -> None:
    """Bring a frozen board through the days of objection to its end."""
    assert "holdout" not in contest.get(f"/boards/{track}")["tasks"]
    contest.decide("publish", {"track": track, "state": "provisional"})
    board = contest.get(f"/boards/{track}")
    assert board["state"] == "provisional" and set(board["tasks"]) == set(contest.rules.weights)
    too_early = contest.ada.refused("/admin/publish", {"track": track, "state": "final", "reason": "now"}, 409)
    assert "objections" in too_early["what"]


def final(contest: Contest, tracks: Sequence[str]) -> None:
    """Publish the final boards once objections are taken no more."""
    contest.wait(contest.clock() + contest.rules.objection_days * DAY * 10**6)
    for track in tracks:
        contest.decide("publish", {"track": track, "state": "final"})
        assert contest.get(f"/boards/{track}")["state"] == "final"


def examined(contest: Contest, packer: Packer, track: str) -> dict[str, Any]:
    """Stage 2: so many of those that are invited fail that others follow on them; all others pass."""
    contest.ada.log_in()
    contest.ada.post("/admin/stage2", {"track": track, "reason": "the board is final"})
    invited = contest.get(f"/stage2/{track}")["finalists"]
    fails = {each["team"] for each in invited[1 : len(invited) - contest.rules.seats + 2]}
    while waiting := [each for each in contest.get(f"/stage2/{track}")["finalists"] if each["state"] == "invited"]:
        _examine(contest, packer, track, waiting[0]["team"], well=waiting[0]["team"] not in fails)
    found: dict[str, Any] = contest.get(f"/stage2/{track}")
    states = {each["team"]: each["state"] for each in found["finalists"]}
    assert found["over"] and len(states) > len(invited), "nobody has followed"
    assert states == {team: "failed" if team in fails else "passed" for team in states}
    assert [each["team"] for each in found["awards"]] == [team for team in states if team not in fails]
    return found


def _examine(contest: Contest, packer: Packer, track: str, name: str, *, well: bool) -> None:
    """A team hands its code and data in; its result is the same again, or is not reached by far."""
    contest.hand_in(name, packer.pack(name, track, None), f"/stage2/{track}/material")
    contest.ada.log_in()
    place, why = f"/admin/stage2/{contest.teams[name].id}", {"track": track, "reason": "as it was found"}
    contest.ada.post(f"{place}/running", why)
    contest.ada.refused(f"{place}/passed", why, 409)
    figures = _figures(contest, track, name) | ({} if well else {"throughput": "1/1000"})
    entered = contest.ada.post(f"{place}/figures", {"track": track, "figures": figures}, "PUT")
    assert [each["name"] for each in entered["conditions"] if not each["met"]] == ([] if well else ["throughput"])
    if not well:
        contest.ada.refused(f"{place}/passed", why, 409)
    contest.ada.post(f"{place}/{'passed' if well else 'failed'}", why)


def _figures(contest: Contest, track: str, name: str) -> dict[str, Any]:
    """What is found when a result is reproduced exactly."""
    line = next(each for each in contest.get(f"/boards/{track}?limit=100")["lines"] if each["team"] == name)
    scores = {task: each["score"] for task, each in line["tasks"].items()}
    throughput, hidden = scores.pop("throughput"), scores.pop("holdout", None)
    scores |= dict.fromkeys(contest.rules.holdouts, hidden) if hidden else {}
    [slot] = contest.rules.track(track).slots
    return {
        "checkpoints": contest.checkpoints[line["submission"]], "agreement": "1",
        "tasks": {task: {"score": score} for task, score in scores.items()}, "throughput": throughput,
        "peaks": {slot: line["size"]["memory"]}, "runs_on_phone": True,
    }  # fmt: skip


def boards(contest: Contest, track: str) -> dict[str, bytes]:
    """The standings of every revision that is kept."""
    kept = [each["revision"] for each in contest.get(f"/boards/{track}/history?limit=100")["revisions"]]
    return {f"{track}/{each}": contest.fetch(f"/boards/{track}/standings?revision={each}") for each in kept}


def bundle(contest: Contest, track: str, folder: Path) -> dict[str, bytes]:
    """The bundle's files that any server would publish, after it was computed again and its signature checked."""
    with tarfile.open(fileobj=io.BytesIO(contest.fetch(f"/boards/{track}/bundle"))) as tar:
        tar.extractall(folder, filter="data")
    [place] = folder.iterdir()
    assert list(replay(place)) == [] and against_signature(place, public_key(contest.key)) == ""
    files = {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}
    assert files[f"{track}/standings.json"] == contest.fetch(f"/boards/{track}/standings")
    return {f"{track}: {name}": data for name, data in files.items() if name.startswith((track, *ALIKE))}
