"""The tables. Times are whole microseconds of UTC, digests are sha256 in hexadecimal, ids say nothing."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


def new_id() -> str:
    """An id that cannot be guessed."""
    return secrets.token_hex(8)


class Table(DeclarativeBase):
    """What all tables have in common: the types of columns."""

    type_annotation_map = {int: BigInteger, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012


# People


class User(Table):
    """Someone with an account. What a role may do stands in `access`."""

    __tablename__ = "user"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(unique=True)  # case-folded
    name: Mapped[str]
    password: Mapped[str]  # argon2id
    role: Mapped[str]  # participant, reviewer, organiser, admin
    created: Mapped[int]
    disabled: Mapped[bool] = mapped_column(default=False)
    second_factor: Mapped[str] = mapped_column(default="")  # secret of one-time passwords; none if empty
    second_step: Mapped[int] = mapped_column(default=0)  # the last of them that was taken; the secret holds if any was


class Login(Table):
    """A browser that is logged in, by the digest of its cookie."""

    __tablename__ = "login"
    id: Mapped[str] = mapped_column(primary_key=True)  # sha256 of the cookie
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    csrf: Mapped[str]
    created: Mapped[int]  # when the password was given
    expires: Mapped[int]
    user: Mapped[User] = relationship(lazy="joined")


class Known(Table):
    """A network from which someone logged in, by its digest: what others try elsewhere does not shut it out."""

    __tablename__ = "known"
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True)
    network: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[int]


class Token(Table):
    """A program's access, by the digest of its token."""

    __tablename__ = "token"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    sha256: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    name: Mapped[str]
    scopes: Mapped[list[str]]
    created: Mapped[int]
    expires: Mapped[int]
    used: Mapped[int | None]
    user: Mapped[User] = relationship(lazy="joined")


class Reset(Table):
    """A link by which someone sets a new password, once."""

    __tablename__ = "reset"
    sha256: Mapped[str] = mapped_column(primary_key=True)  # of the link's secret
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"))
    expires: Mapped[int]
    user: Mapped[User] = relationship(lazy="joined")


class Team(Table):
    """Up to five people who hand in together."""

    __tablename__ = "team"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)  # the name, case-folded, so that no two look alike
    tracks: Mapped[list[str]]  # that it is registered for
    created: Mapped[int]
    members: Mapped[list[Member]] = relationship(lazy="selectin", order_by="Member.joined")


class Member(Table):
    """Who is in which team: nobody in two."""

    __tablename__ = "member"
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"), primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id"), index=True)
    captain: Mapped[bool] = mapped_column(default=False)
    student: Mapped[bool] = mapped_column(default=False)  # as said when joining, as is that it is the only team
    joined: Mapped[int]
    user: Mapped[User] = relationship(lazy="joined")


class Invitation(Table):
    """A link by which someone joins a team, once."""

    __tablename__ = "invitation"
    sha256: Mapped[str] = mapped_column(primary_key=True)  # of the link's secret
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id", ondelete="CASCADE"))
    email: Mapped[str]
    created: Mapped[int]
    expires: Mapped[int]


# The competition


class Phase(Table):
    """A span of the competition, before whose end packages count."""

    __tablename__ = "phase"
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]  # registration, smoke, preliminary, scored, stage-2
    opens: Mapped[int]
    closes: Mapped[int]


class RuleSet(Table):
    """Rules that were ever in force; the latest are."""

    __tablename__ = "rule_set"
    digest: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[str]  # as published
    since: Mapped[int]
    reason: Mapped[str]
    by_settings: Mapped[int | None]  # when the operator's settings last brought them


class Announcement(Table):
    """What organisers say to all."""

    __tablename__ = "announcement"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    title: Mapped[str]
    body: Mapped[str]
    created: Mapped[int]


# Packages


class Blob(Table):
    """A file that is stored once, by its digest, however many packages have it."""

    __tablename__ = "blob"
    sha256: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]  # bytes
    created: Mapped[int]


class Upload(Table):
    """A package on its way: its manifest is there, its files may not be."""

    __tablename__ = "upload"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id"), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"))
    manifest: Mapped[str]  # digest; the manifest itself is a blob
    track: Mapped[str]
    nonce: Mapped[str]  # which of their bytes prove that the team has files
    created: Mapped[int]
    expires: Mapped[int]
    __table_args__ = (UniqueConstraint("team_id", "manifest"),)


class Wanted(Table):
    """A file that an upload brings, unless the team has shown already that it has it."""

    __tablename__ = "wanted"
    upload_id: Mapped[str] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    size: Mapped[int]  # bytes
    shown: Mapped[bool] = mapped_column(default=False)  # the team sent it, or proved that it has it


class Submission(Table):
    """A package that was handed in, and what became of it."""

    __tablename__ = "submission"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id"), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"))
    track: Mapped[str]
    phase: Mapped[str] = mapped_column(ForeignKey("phase.name"))
    manifest: Mapped[str]  # digest
    title: Mapped[str]
    received: Mapped[int]
    state: Mapped[str]  # of `states`
    stage: Mapped[str] = mapped_column(default="")  # of a run
    code: Mapped[str] = mapped_column(default="")  # of its end
    sentence: Mapped[str] = mapped_column(default="")  # that says why it ended
    fault: Mapped[str] = mapped_column(default="")  # platform, participant, organiser
    review: Mapped[str] = mapped_column(default="")  # open, cleared, confirmed; none if empty
    changed: Mapped[int]
    team: Mapped[Team] = relationship(lazy="joined")
    __table_args__ = (UniqueConstraint("team_id", "track", "phase", "manifest"), Index("submission_by_state", "state"))

    @property
    def called(self) -> str:
        """What people are told it is called; it may have no title."""
        return self.title or f"submission {self.id}"


class File(Table):
    """A file of a submission."""

    __tablename__ = "file"
    submission_id: Mapped[str] = mapped_column(ForeignKey("submission.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blob.sha256"), index=True)


class Finding(Table):
    """What the checker found in a submission."""

    __tablename__ = "finding"
    submission_id: Mapped[str] = mapped_column(ForeignKey("submission.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[dict[str, Any]]


class Slot(Table):
    """A scored slot of a team: its key is what keeps two submissions from taking one."""

    __tablename__ = "slot"
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id"), primary_key=True)
    track: Mapped[str] = mapped_column(primary_key=True)
    phase: Mapped[str] = mapped_column(ForeignKey("phase.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[str | None] = mapped_column(ForeignKey("submission.id"), unique=True)
    use: Mapped[str] = mapped_column(default="free")  # free, reserved, spent
    __table_args__ = (CheckConstraint("(submission_id IS NULL) = (use = 'free')", name="slot_held"),)


class Attempts(Table):
    """How many packages a team has handed in."""

    __tablename__ = "attempts"
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id"), primary_key=True)
    track: Mapped[str] = mapped_column(primary_key=True)
    phase: Mapped[str] = mapped_column(ForeignKey("phase.name"), primary_key=True)
    used: Mapped[int]


class Appeal(Table):
    """A team's objection, and what was decided."""

    __tablename__ = "appeal"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    submission_id: Mapped[str] = mapped_column(ForeignKey("submission.id"), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"))
    text: Mapped[str]
    created: Mapped[int]
    decision: Mapped[str] = mapped_column(default="")  # granted, dismissed; none yet if empty
    reason: Mapped[str] = mapped_column(default="")
    decided: Mapped[int | None]


# Evaluation


class Worker(Table):
    """A machine that evaluates, by the digest of its key."""

    __tablename__ = "worker"
    name: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    tags: Mapped[list[str]]  # of what it has, such as gpu
    created: Mapped[int]
    seen: Mapped[int | None]
    disabled: Mapped[bool] = mapped_column(default=False)


class Job(Table):
    """One evaluation that waits, runs or has ended. Whoever leases it gets the next fencing number."""

    __tablename__ = "job"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    key: Mapped[str] = mapped_column(unique=True)  # of what is done: no two jobs do the same
    submission_id: Mapped[str] = mapped_column(ForeignKey("submission.id"), index=True)
    kind: Mapped[str]  # check, evaluate, smoke
    priority: Mapped[int] = mapped_column(default=0)  # the largest first
    tags: Mapped[list[str]]  # that its worker must have
    state: Mapped[str]  # waiting, leased, done, failed, cancelled
    attempt: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(ForeignKey("worker.name"))
    asked: Mapped[str] = mapped_column(default="")  # the request that leased it, which may be sent again
    leased: Mapped[int | None]  # when its last lease began
    not_before: Mapped[int] = mapped_column(default=0)  # it is not leased until then
    lease_ends: Mapped[int | None]  # if nothing more is heard of it; `leases` judges the silence by a steady clock
    created: Mapped[int]
    ended: Mapped[int | None]
    cause: Mapped[str] = mapped_column(default="")  # a sentence on why its last lease gave no result
    result: Mapped[str | None]  # digest of the blob that has what was found
    reached: Mapped[str | None]  # digest of the blob that has what of it counts on the board, once it was read
    submission: Mapped[Submission] = relationship(lazy="joined")
    __table_args__ = (
        Index("job_to_take", "state", "priority", "created"), Index("job_by_end", "state", "kind", "ended"),
    )  # fmt: skip


class Progress(Table):
    """What a job has finished: it is never done again."""

    __tablename__ = "progress"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)  # such as phi-2/gsm8k
    done: Mapped[int]
    of: Mapped[int]
    blob: Mapped[str | None]  # digest of what came of it, once it is whole
    changed: Mapped[int]


class Kept(Table):
    """A file that the result of a job names, or what of it counts."""

    __tablename__ = "kept"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)


class Line(Table):
    """A line of a job's log, cut and redacted."""

    __tablename__ = "line"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[int]
    text: Mapped[str]


class Switch(Table):
    """What organisers have turned on: a row while it is."""

    __tablename__ = "switch"
    name: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[int]
    reason: Mapped[str]


class Fingerprint(Table):
    """The answers of an evaluation as short digests, by which those that are alike are found."""

    __tablename__ = "fingerprint"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), primary_key=True)
    sketch: Mapped[bytes]  # stands before the answers, so that who reads it need not read these
    answers: Mapped[bytes]


# Results


class Decision(Table):
    """What one organiser proposes or decides, and, of what needs two, whether another has seconded it."""

    __tablename__ = "decision"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str]  # of `decisions.KINDS`
    body: Mapped[dict[str, Any]]
    reason: Mapped[str]
    proposed_by: Mapped[str] = mapped_column(ForeignKey("user.id"))
    seconded_by: Mapped[str | None] = mapped_column(ForeignKey("user.id"))
    created: Mapped[int]
    applied: Mapped[int | None]
    withdrawn: Mapped[int | None]


class Revision(Table):
    """A board as it was published."""

    __tablename__ = "revision"
    track: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str]
    standings: Mapped[str]  # digest of a blob; so are the next three
    entries: Mapped[str]  # before any decision, hold-outs included
    decisions: Mapped[str]
    bundle: Mapped[str | None]  # of a final board
    created: Mapped[int]
    reason: Mapped[str]


class Examination(Table):
    """A candidate of stage 2: a submission of the final board, and how far its team has come with it."""

    __tablename__ = "examination"
    submission_id: Mapped[str] = mapped_column(ForeignKey("submission.id"), primary_key=True)
    track: Mapped[str] = mapped_column(index=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("team.id"))
    rank: Mapped[int]  # in the frozen order
    state: Mapped[str]  # of `score.stage2`
    due: Mapped[bool] = mapped_column(default=False)  # its turn has come
    drawn: Mapped[bool] = mapped_column(default=False)  # by lot, which may be without its turn
    material_id: Mapped[str | None] = mapped_column(ForeignKey("submission.id"))  # the package with code and data
    figures: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # what was found when it was reproduced
    reason: Mapped[str] = mapped_column(default="")  # of its state
    changed: Mapped[int]
    team: Mapped[Team] = relationship(lazy="joined")


# Records


class Notice(Table):
    """A message that goes out, written with what it tells of; sent once for an event and a receiver."""

    __tablename__ = "notice"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    event: Mapped[str]
    user_id: Mapped[str | None] = mapped_column(ForeignKey("user.id"), index=True)
    channel: Mapped[str]  # page, mail, webhook
    target: Mapped[str]  # id of a user, address, id of a webhook
    subject: Mapped[str]
    body: Mapped[str]
    link: Mapped[str] = mapped_column(default="")  # that bears a secret and ends the message; until it is sent
    created: Mapped[int]
    tries: Mapped[int] = mapped_column(default=0)
    next_try: Mapped[int | None]
    sent: Mapped[int | None]
    __table_args__ = (
        UniqueConstraint("event", "channel", "target"), Index("notice_to_send", "channel", "sent", "next_try"),
    )  # fmt: skip


class Webhook(Table):
    """An address that messages of a team, or of the organisers, are posted to, signed with a secret that both have."""

    __tablename__ = "webhook"
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    team_id: Mapped[str | None] = mapped_column(ForeignKey("team.id", ondelete="CASCADE"), index=True)  # or organisers
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"))  # who made it
    url: Mapped[str]
    secret: Mapped[str]
    created: Mapped[int]


class Answered(Table):
    """The answer to a request that may be sent again: by who sent it, and the key that it bore."""

    __tablename__ = "answered"
    user_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]  # digest of method, path and body
    status: Mapped[int]
    body: Mapped[dict[str, Any]]
    created: Mapped[int]


class Audit(Table):
    """An entry of the log of all that was done; each holds the digest of the one before."""

    __tablename__ = "audit"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time: Mapped[int]
    actor: Mapped[str]  # user id, worker:NAME or system
    role: Mapped[str]
    action: Mapped[str]
    object: Mapped[str]
    before: Mapped[str]  # digest of what was, empty if nothing
    after: Mapped[str]
    reason: Mapped[str]
    previous: Mapped[str]
    hash: Mapped[str]


class Head(Table):
    """Where the audit log ended on a day, so that a log that was restored from before is known."""

    __tablename__ = "head"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # of the entry
    hash: Mapped[str]
    created: Mapped[int]
    signature: Mapped[str]  # Ed25519 over `audit_heads.text`, in hexadecimal; empty without a key
