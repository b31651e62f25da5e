"""What a competition is about, one of each kind, with marks in all that strangers wrote and in all of hold-outs."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select

from edgelm.files import canonical_json, parse_json
from edgelm.pack import pack
from edgelm.server.keys import digest
from edgelm.server.pages.assets import address
from edgelm.server.state import Server
from edgelm.server.tables import (
    Announcement,
    Appeal,
    Blob,
    Decision,
    Examination,
    File,
    Finding,
    Invitation,
    Job,
    Line,
    Phase,
    Progress,
    Slot,
    Submission,
    Token,
    Upload,
    Wanted,
    Webhook,
    Worker,
)

MARK = "<script>alert('xxx')</script>"  # what no browser may run, in all that teams and models name
CANARY = "canary-of-the-hold-out"  # in its answers and journals
EVIDENCE = "evidence-for-reviewers"
PHRASE = "the reason of a decision"
ID, RUNNING, WAITING, CHARGE = "0123456789abcdef", "a" * 16, "b" * 16, "c" * 16
SECOND, DEPUTY = "d" * 16, "e" * 16  # a member of the team, and an organiser
TRACK = "compression"


def add_hold_outs(session: Any, server: Server, submission: str) -> None:
    """Let an evaluated submission have answers to hold-outs, where workers put them."""
    storage = server.storage
    answers = storage.put(canonical_json({"key": CANARY, "sample": CANARY, "text": CANARY, "mark": 1}))
    job = session.scalars(select(Job).filter_by(submission_id=submission)).one()
    result = parse_json(storage.read(job.result or "", 2**20), "result")
    result["models"]["base"]["holdout"]["answers"] = {"secret": answers}
    job.result = storage.put(canonical_json(result))
    session.add(Blob(sha256=answers, size=1, created=0))
    session.flush()
    session.add(Progress(job_id=job.id, part="base/holdout", done=9, of=9, blob=answers, changed=0))
    _write_journal(server, job.id)


def add_things(session: Any, server: Server, scored: str, later: int) -> dict[str, str]:
    """Add what is about a submission that was evaluated, and all else; names by what stands for them in paths.

    Args:
        session: to add them in.
        server: whose they are.
        scored: id of the submission.
        later: when they end, in microseconds.
    """
    now = server.clock()
    for name, kind in (("later", "stage-2"), ("smoke", "smoke")):
        session.add(Phase(name=name, kind=kind, opens=now, closes=later))
    session.add(Worker(name="gpu-1", sha256=digest("edgelm_w_x"), tags=[], created=now, seen=now))
    session.flush()
    manifest = _pack(session, server, now)
    _add_jobs(session, manifest, now, later)
    _write_journal(server, RUNNING)
    weights = server.storage.put(b"weights")
    one = session.get_one(Submission, scored)
    one.title, one.review, one.user_id = MARK, "open", "captain"
    job = session.scalars(select(Job.id).filter_by(submission_id=scored)).one()
    hook = {"url": "https://hooks.example.org/", "secret": "s" * 43, "created": now}
    begun = {"team_id": "red", "user_id": "captain", "track": TRACK, "nonce": "0" * 32, "created": now,
             "expires": later}  # fmt: skip
    session.add_all([
        Announcement(id=ID, title=MARK, body=MARK, created=now),
        Blob(sha256=weights, size=7, created=now),
        Line(job_id=job, number=1, time=now, text=MARK),
        Finding(submission_id=scored, number=1, body={
            "code": "QNT-05", "severity": "R", "path": f"models/{MARK}", "what": MARK, "why": "y", "mend": "m",
            "evidence": {"median": EVIDENCE}}),
        Appeal(id=ID, submission_id=scored, user_id="captain", text=MARK, created=now),
        Token(id=ID, sha256=digest("edgelm_t_own"), user_id="captain", name=MARK, scopes=["read"], created=now,
              expires=later),
        Invitation(sha256=digest("come"), team_id="red", email="alone@e.org", created=now, expires=later),
        Webhook(id="hook", team_id="red", user_id="captain", **hook),
        Webhook(id="ours", team_id=None, user_id="admin", **hook),
        Decision(id=ID, kind="void", body={"track": TRACK, "task": "gsm8k"}, reason=PHRASE, proposed_by=DEPUTY,
                 created=now),
        Decision(id=CHARGE, kind="confirm-review", reason=PHRASE, proposed_by=DEPUTY, created=now, body={
            "submission": scored, "offence": "quantised", "evidence": EVIDENCE}),
        Examination(submission_id=scored, track=TRACK, team_id="red", rank=1, state="running", due=True, changed=now),
        Upload(id=ID, manifest=manifest, **begun),
        Upload(id=CHARGE, manifest=digest("other"), **begun),
    ])  # fmt: skip
    session.flush()
    session.add(Wanted(upload_id=CHARGE, sha256=digest("wanted"), size=6))
    session.add_all([Wanted(upload_id=ID, sha256=each["sha256"], size=each["size"], shown=True)
                     for each in manifest_of(server)["files"]])  # fmt: skip
    session.add(File(submission_id=scored, path="source/weights.py", sha256=weights))
    session.add(File(submission_id=RUNNING, path="models/base/checkpoint/model.safetensors", sha256=weights))
    return {
        "submission": scored, "running": RUNNING, "waiting": WAITING, "job_id": RUNNING, "job": WAITING,
        "team": "red", "team_id": "red", "track": TRACK, "user_id": SECOND, "name": "gpu-1", "phase": "smoke",
        "upload": ID, "sha256": weights, "wanted": digest("wanted"), "token_id": ID, "invitation_id": digest("come"),
        "webhook_id": "hook", "decision": ID, "charge": CHARGE, "appeal": ID, "digest": server.rules.digest,
        "asset": address("style.css").rpartition("/")[2], "event": "failed", "kind": "void",
    }  # fmt: skip


def manifest_of(server: Server) -> dict[str, Any]:
    """The manifest of the package whose upload is `ID`."""
    found: dict[str, Any] = json.loads((server.settings.folder / "package" / "edgelm.json").read_bytes())
    return found


def _add_jobs(session: Any, manifest: str, now: int, later: int) -> None:
    """A submission that runs, of that manifest, and one that waits."""
    leased = {"state": "leased", "worker": "gpu-1", "fence": 1, "attempt": 1, "lease_ends": later}
    for one, state, packed in ((RUNNING, "running", manifest), (WAITING, "queued", WAITING)):
        session.add(Submission(id=one, team_id="red", user_id="captain", track=TRACK, phase="main", manifest=packed,
                               title=MARK, received=now, state=state, changed=now))  # fmt: skip
        session.flush()
        session.add(Job(id=one, key=one, submission_id=one, kind="evaluate", tags=[], created=now,
                        **(leased if one == RUNNING else {"state": "waiting"})))  # fmt: skip
    session.add(Slot(team_id="red", track=TRACK, phase="main", number=1, submission_id=RUNNING, use="reserved"))
    session.flush()


def _pack(session: Any, server: Server, now: int) -> str:
    """Bring a package of no model whole; the digest of its manifest."""
    folder = server.settings.folder
    (folder / "source").mkdir()
    (folder / "source" / "README.md").write_text("edgelm compress\n")
    pack({}, team="red", track=TRACK, rules=server.rules, source=folder / "source", out=folder / "package",
         title="package", omitted={"base": "not done yet"})  # fmt: skip
    for each in manifest_of(server)["files"]:
        server.storage.put((folder / "package" / each["path"]).read_bytes())
        session.add(Blob(sha256=each["sha256"], size=each["size"], created=now))
    return server.storage.put((folder / "package" / "edgelm.json").read_bytes())


def _write_journal(server: Server, job_id: str) -> None:
    """What a model has answered so far to hold-outs."""
    folder = server.settings.journals / job_id
    folder.mkdir(parents=True)
    (folder / "base.holdout").write_text(CANARY)
