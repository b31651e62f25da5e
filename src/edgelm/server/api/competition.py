"""The competition over HTTP: tracks, rules, dates, announcements; and whether the server is well."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import Field
from sqlalchemy.orm import Session

from edgelm.files import parse_json
from edgelm.rules.phases import shown
from edgelm.server import audit, competition, metrics, phases, rulebook
from edgelm.server.calling import Asking, Calling, Done, Served
from edgelm.server.clock import moment
from edgelm.server.fields import Body, Digest, Name, Prose
from edgelm.server.phases import Kind
from edgelm.server.tables import Announcement, RuleSet
from edgelm.server.tables import Phase as PhaseRow

router = APIRouter(tags=["competition"])


class TrackView(Body):
    """A track: the models that a submission brings, by slot, and what a team may hand in."""

    name: str
    derivation: str
    slots: list[str]
    submissions: int
    attempts: int


class PhaseView(Body):
    """A phase, [opens, closes) in microseconds of UTC; `shown` has both in UTC and AoE."""

    name: str
    kind: str
    opens: int
    closes: int
    shown: tuple[str, str]
    open: bool

    @classmethod
    def of(cls, row: PhaseRow, now: int) -> PhaseView:
        """A phase as all see it."""
        return cls(name=row.name, kind=row.kind, opens=row.opens, closes=row.closes,
                   shown=(shown(moment(row.opens)), shown(moment(row.closes))),
                   open=row.opens <= now < row.closes)  # fmt: skip


class AnnouncementView(Body):
    """What organisers said to all."""

    id: str
    title: str
    body: str
    created: int

    @classmethod
    def of(cls, row: Announcement) -> AnnouncementView:
        """An announcement as all see it."""
        return cls(id=row.id, title=row.title, body=row.body, created=row.created)


class CompetitionView(Body):
    """The competition of this server; `now` is its clock."""

    title: str
    rules: str
    tracks: list[str]
    phases: list[PhaseView]
    now: int


class RuleSetView(Body):
    """Rules that are or were in force since then, in microseconds of UTC."""

    digest: str
    since: int
    reason: str
    rules: dict[str, Any]

    @classmethod
    def of(cls, row: RuleSet) -> RuleSetView:
        """Rules as all see them."""
        return cls(digest=row.digest, since=row.since, reason=row.reason, rules=parse_json(row.body, row.digest))


class NewRules(Body):
    """A rule set as JSON, all of its fields, and why it takes the place of the one in force."""

    rules: dict[str, Any]
    reason: Prose


class NewPhase(Body):
    """A phase; an instant is written with its zone, a day as `2024-10-25 AoE`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    kind: Kind
    opens: Annotated[str, Field(max_length=40)]
    closes: Annotated[str, Field(max_length=40)]
    reason: Prose


class NewAnnouncement(Body):
    """What is to be said to all."""

    title: Name
    body: Prose


class Well(Body):
    """The server is well."""

    status: Literal["ok"] = "ok"


class Ready(Well):
    """The database answers; `audit` is the number of entries of its log, `head` the last one's hash."""

    audit: int
    head: str


@router.get("/competitions", response_model=list[CompetitionView])
def competitions(server: Served) -> list[CompetitionView]:
    """The one competition of this server."""
    rules = server.rules
    return [
        CompetitionView(title=server.settings.title, rules=rules.digest, tracks=[track.name for track in rules.tracks],
                        phases=dates(server), now=server.clock())
    ]  # fmt: skip


@router.get("/tracks", response_model=list[TrackView])
def tracks(server: Served) -> list[TrackView]:
    """What a team may take part in."""
    rules = server.rules
    return [
        TrackView(name=track.name, derivation=track.derivation, slots=list(track.slots),
                  submissions=rules.submissions, attempts=rules.attempts)
        for track in rules.tracks
    ]  # fmt: skip


@router.get("/rules", response_model=list[RuleSetView])
def rule_sets(server: Served) -> list[RuleSetView]:
    """All rules that were ever in force, those that are first."""
    with server.database.read() as session:
        return [RuleSetView.of(row) for row in competition.rule_sets(session)]


@router.get("/rules/{digest}")
def rules(digest: Digest, server: Served) -> Response:
    """Rules byte for byte as published: canonical JSON, whose sha256 is the digest."""
    with server.database.read() as session:
        body = competition.rule_set(session, digest).body
    return Response(body, media_type="application/json", headers={"Cache-Control": "public, max-age=86400, immutable"})


@router.post("/admin/rules", status_code=201, response_model=RuleSetView)
def publish_rules(body: NewRules, calling: Calling) -> Response:
    """Put other rules in force. All teams are told, and packages must name them from now on (SUB-06)."""
    calling.viewer.require("organiser")
    calling.viewer.require_fresh()
    published = rulebook.read_rules(body.rules)

    def work(session: Session) -> RuleSetView:
        competition.publish_rules(session, calling.viewer.actor, published, body.reason, calling.now)
        return RuleSetView.of(competition.rule_set(session, published.digest))

    return calling.once(work)


@router.get("/phases", response_model=list[PhaseView])
def dates(server: Served) -> list[PhaseView]:
    """The one table of dates."""
    with server.database.read() as session:
        return [PhaseView.of(row, server.clock()) for row in phases.rows(session)]


@router.post("/admin/phases", status_code=201, response_model=PhaseView)
def set_phase(body: NewPhase, calling: Calling) -> Response:
    """Make a phase, or give one other dates; all teams are told."""
    calling.viewer.require("organiser")
    return calling.once(lambda session: PhaseView.of(
        phases.set_phase(session, calling.viewer.actor, body.name, body.kind, body.opens, body.closes, body.reason,
                         calling.now),
        calling.now,
    ))  # fmt: skip


@router.delete("/admin/phases/{name}", response_model=Done)
def remove_phase(name: str, server: Served, who: Asking, reason: str = "") -> Done:
    """Remove a phase that nothing was handed in to."""
    who.require("organiser")
    with server.database.write() as session:
        phases.remove_phase(session, who.actor, name, reason[:1000], server.clock())
    return Done()


@router.get("/announcements", response_model=list[AnnouncementView])
def announcements(server: Served) -> list[AnnouncementView]:
    """What organisers said to all, the latest first."""
    with server.database.read() as session:
        return [AnnouncementView.of(row) for row in competition.announcements(session)]


@router.post("/admin/announcements", status_code=201, response_model=AnnouncementView)
def announce(body: NewAnnouncement, calling: Calling) -> Response:
    """Say something to all."""
    calling.viewer.require("organiser")
    return calling.once(lambda session: AnnouncementView.of(
        competition.announce(session, calling.viewer.actor, body.title, body.body, calling.now)
    ))  # fmt: skip


@router.get("/health", response_model=Well)
@router.get("/healthz", response_model=Well)
def health() -> Well:
    """Whether the process answers; the database is not asked."""
    return Well()


@router.get("/ready", response_model=Ready)
def ready(server: Served) -> Ready:
    """Whether calls can be served: 503 while the database does not answer."""
    with server.database.read() as session:
        number, head = audit.head(session)
    return Ready(audit=number, head=head)


@router.get("/metrics", response_class=PlainTextResponse)
def figures(server: Served, who: Asking) -> Response:
    """Figures for monitoring, in the format of Prometheus: for organisers, by login or token."""
    who.require("organiser")
    return Response(metrics.page(server), media_type=CONTENT_TYPE_LATEST)
