"""No figure of a hold-out before the board is provisional: every call, for every asker, in every state."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
from sqlalchemy import select

from edgelm.score.states import STATES
from edgelm.server import entries, sight
from edgelm.server.access import Viewer
from edgelm.server.tables import Blob, File, Job, Submission

from .conftest import TRACK

SECRET, OTHER = 37, 53  # percent: figures that stand for nothing else
ASKERS = ("visitor", "outsider", "rival", "member", "reviewer", "organiser", "admin")
PATHS = ("/boards", f"/boards/{TRACK}", f"/boards/{TRACK}?limit=100", f"/boards/{TRACK}?format=csv",
         f"/boards/{TRACK}/standings", f"/boards/{TRACK}/sensitivity", f"/boards/{TRACK}/history",
         f"/boards/{TRACK}/bundle", "/results/{own}", "/results/{other}")  # fmt: skip


@pytest.fixture
def own(competition):
    """A submission of `red`, better on the public tasks; `blue`'s is better on the hold-out."""
    competition.other = competition.scored("blue", (1, 0, 0), (1, 0, 0), 2, OTHER)
    return competition.scored("red", (1, 1, 0), (1, 1, 0), 1, SECRET)


def asking(competition, asker):
    role = asker if asker in ("reviewer", "organiser", "admin") else "participant"
    team = {"member": "red", "rival": "blue"}.get(asker, "")
    return competition.browser("" if asker == "visitor" else f"the {asker}", role, team)


@pytest.mark.parametrize("state", ["live", "frozen"])
def test_no_call_tells_of_hold_outs_before_two_have_published_them(competition, own, published, state):
    published(state)
    for asker in ASKERS:
        client = asking(competition, asker)
        for path in PATHS:
            text = client.get(path.format(own=own, other=competition.other)).text
            for word in ("secret", "holdout", str(SECRET), str(OTHER)):
                assert word not in _without_ids(text), (asker, path, word)


def test_all_is_seen_from_the_provisional_board_on(competition, own, published):
    published("provisional")
    for asker in ASKERS:
        client = asking(competition, asker)
        board = client.get(f"/boards/{TRACK}").json()
        assert board["maximum"] == 50
        assert [line["tasks"]["holdout"]["score"] for line in board["lines"]] == [str(SECRET), str(OTHER)]
        result = client.get(f"/results/{competition.other}").json()
        assert result["models"]["base"]["tasks"]["secret"]["score"] == str(OTHER), asker


@pytest.mark.parametrize("state", ["provisional", "final"])
def test_what_ended_after_the_board_was_frozen_is_shown_as_that_was(competition, server, own, published, state):
    published(state)
    late = competition.scored("green", (1, 1, 1), (1, 1, 1), 1, 71)
    entries.prepare(server)
    for asker in ASKERS:
        shown = asking(competition, asker).get(f"/results/{late}")
        seen = asker in ("reviewer", "organiser", "admin")
        assert (shown.status_code, "71" in _without_ids(shown.text)) == (200 if seen else 404, False), asker
        assert not seen or shown.json()["state"] == "frozen"


def test_results_are_the_teams_and_reviewers_before_that(competition, own, published):
    published("live")
    seen = {asker: asking(competition, asker).get(f"/results/{own}").status_code for asker in ASKERS}
    assert seen == {"visitor": 404, "outsider": 404, "rival": 404, "member": 200, "reviewer": 200, "organiser": 200,
                    "admin": 200}  # fmt: skip


def test_what_a_team_sees_of_its_own_result(competition, own, published):
    published("live")
    result = asking(competition, "member").get(f"/results/{own}").json()
    [model] = result["models"].values()
    assert (result["state"], result["standing"]["rank"], result["reasons"]) == ("live", 1, [])
    assert set(model["tasks"]) == {"gsm8k", "chid"} and set(result["standing"]["tasks"]) == {
        "gsm8k",
        "chid",
        "throughput",
    }
    gsm8k = model["tasks"]["gsm8k"]
    assert (gsm8k["score"], gsm8k["standard_error"]) == ("200/3", "33.3333")  # two of three: √(1/3 · 1/3) = 1/3
    assert (model["throughput"], model["beside"]["memory"]) == ("256", {"host-peak": 1000})


def test_a_result_that_came_after_the_freeze_is_the_teams_at_once(competition, own, published):
    published("frozen")
    late = competition.scored("red", (1, 0), (1, 0), 9, SECRET)
    competition.follow()
    result = asking(competition, "member").get(f"/results/{late}").json()
    assert result["standing"] is None and result["models"]["base"]["tasks"]["gsm8k"]["score"] == "50"
    assert asking(competition, "rival").get(f"/results/{late}").status_code == 404


def test_there_is_no_result_of_what_was_never_handed_in(competition, own, published):
    published("final")
    assert competition.browser().get("/results/none").status_code == 404


VIEWERS = {
    "everyone": Viewer(),
    "rival": Viewer(role="participant", team_id="blue"),
    "team": Viewer(role="participant", team_id="red"),
    "reviewer": Viewer(role="reviewer"),
    "organiser": Viewer(role="organiser"),
    "worker": Viewer(role="worker"),
}
ALL, FROM_PROVISIONAL, NEVER, AT_LAST = "dlfpF", "pF", "", "F"  # states, by their first letters; F is final
TABLE = {  # by field: who sees it in which states
    #                   everyone, rival, worker   team       reviewer, organiser
    "scores":          (FROM_PROVISIONAL,         ALL,       ALL),
    "standing":        (FROM_PROVISIONAL,         ALL,       ALL),
    "claims":          (FROM_PROVISIONAL,         ALL,       ALL),
    "flags":           (FROM_PROVISIONAL,         ALL,       ALL),
    "notes":           (FROM_PROVISIONAL,         ALL,       ALL),
    "holdouts":        (FROM_PROVISIONAL,         FROM_PROVISIONAL, FROM_PROVISIONAL),
    "reasons":         ("lfpF",                   ALL,       ALL),
    "evidence":        (NEVER,                    NEVER,     ALL),
    "answers":         (NEVER,                    ALL,       ALL),
    "log":             (NEVER,                    ALL,       ALL),
    "marks":           (AT_LAST,                  AT_LAST,   ALL),
    "code":            (AT_LAST,                  ALL,       ALL),
    "holdout_answers": (NEVER,                    NEVER,     NEVER),
    "anything else":   (NEVER,                    NEVER,     NEVER),
}  # fmt: skip


def test_the_table_of_sight_is_the_written_one():
    assert set(TABLE) == {*sight.SIGHT, "anything else"}
    letters = dict(zip(STATES, "dlfpF", strict=True))
    for field, (others, team, reviewers) in TABLE.items():
        for name, viewer in VIEWERS.items():
            seen = "".join(letters[state] for state in STATES if sight.sees(viewer, field, state, "red"))
            expected = {"team": team, "reviewer": reviewers, "organiser": reviewers}.get(name, others)
            assert seen == expected, (field, name)


def test_what_the_table_does_not_name_is_left_out():
    fields = {"scores": 1, "evidence": 2, "anything else": 3}
    assert sight.shown(VIEWERS["team"], fields, "live", "red") == {"scores": 1}


def test_evidence_for_what_a_reviewer_decides_is_the_reviewers():
    found = [{"code": "QNT-05", "severity": "R", "evidence": 1}, {"code": "PKG-01", "severity": "W", "evidence": 2}]
    without = [{"code": "QNT-05", "severity": "R"}, found[1]]
    seen = {name: sight.findings(viewer, found, "red") for name, viewer in VIEWERS.items()}
    assert {name for name, each in seen.items() if each == found} == {"reviewer", "organiser"}
    assert {name for name, each in seen.items() if each == without} == {"everyone", "rival", "team", "worker"}


def _without_ids(text):
    """An answer without what is drawn by lot: ids and digests, and times."""
    try:
        value = json.loads(text)
    except ValueError:
        return "\n".join(",".join(cell for cell in line.split(",") if len(cell) != 16) for line in text.splitlines())

    def cleaned(one):
        if isinstance(one, dict):
            return {key: cleaned(inner) for key, inner in one.items() if key not in ("published", "rules_digest")}
        if isinstance(one, list):
            return [cleaned(inner) for inner in one]
        return "" if isinstance(one, str) and len(one) in (16, 64) else one

    return json.dumps(cleaned(value))


def test_claims_stand_beside_what_was_found(competition, own, published):
    storage = competition.server.storage
    claim = storage.read(_report_of(competition, own), 1 << 20).replace(b'"200/3"', b'"99"')
    manifest = {"format": 1, "team": "red", "track": TRACK, "rules": "r", "title": "t", "method": "m", "contact": "c",
                "models": {"base": "models/base"}, "files": [], "claims": "results.csv", "made_by": "x"}  # fmt: skip
    with competition.server.database.write() as session:
        session.get_one(Submission, own).manifest = storage.put(json.dumps(manifest).encode())
        digest = storage.put(claim)
        session.add(Blob(sha256=digest, size=1, created=0))
        session.flush()
        session.add(File(submission_id=own, path="models/base/report/report.json", sha256=digest))
    published("live")
    result = asking(competition, "member").get(f"/results/{own}").json()
    assert result["claims"] == {"base": {"gsm8k": "99", "chid": "99", "throughput": "256"}}
    assert result["models"]["base"]["tasks"]["gsm8k"]["score"] == "200/3"


def _report_of(competition, submission):
    with competition.server.database.read() as session:
        job = session.scalars(select(Job).filter_by(submission_id=submission)).one()
    return entries.result_of(competition.server.storage, job.result).models["base"].report


def test_the_code_of_a_submission_is_an_archive(competition, own, published):
    code = {"LICENSE": b"MIT", "models/base/code/model.py": b"import torch\n",
            "source/train.py": b"print('edgelm')\n" * 40, "source/ümlaut/empty.py": b""}  # fmt: skip
    with competition.server.database.write() as session:
        for path, content in {**code, "models/base/checkpoint/model.safetensors": b"weights"}.items():
            sha256 = competition.server.storage.put(content)
            session.merge(Blob(sha256=sha256, size=len(content), created=0))
            session.flush()
            session.add(File(submission_id=own, path=path, sha256=sha256))
    published("final")
    visitor = competition.browser()
    assert [each["path"] for each in visitor.get(f"/results/{own}").json()["code"]] == list(code)
    answer = visitor.get(f"/results/{own}/code")
    assert answer.headers["content-disposition"] == f'attachment; filename="{own}-code.tar"'
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        packed = {entry.name.removeprefix(f"{own}-code/"): archive.extractfile(entry).read() for entry in archive}
    assert packed == code
    page = visitor.get(f"/result/{own}", headers={"Accept": "text/html"}).text
    assert f'href="/results/{own}/code"' in page and "ümlaut/empty.py" in page
    assert visitor.get(f"/results/{competition.other}/code").status_code == 404


def test_code_is_its_teams_until_the_board_is_final(competition, own, published):
    with competition.server.database.write() as session:
        session.add(Blob(sha256=competition.server.storage.put(b"x"), size=1, created=0))
        session.flush()
        session.add(File(submission_id=own, path="source/a.py", sha256=competition.server.storage.put(b"x")))
    published("provisional")
    clients = {asker: asking(competition, asker) for asker in ASKERS}
    seen = {asker for asker, client in clients.items() if client.get(f"/results/{own}/code").status_code == 200}
    assert seen == {"member", "reviewer", "organiser", "admin"}
    assert clients["rival"].get(f"/results/{own}").json()["code"] is None
