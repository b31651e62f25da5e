"""The audit log: its entries to organisers, its heads to all; and everything that organisers may take with them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from edgelm.server import audit, audit_heads, export
from edgelm.server.audit import Filter
from edgelm.server.calling import Asking, Calling, Served
from edgelm.server.fields import Body
from edgelm.server.tables import Audit, Head

router = APIRouter(tags=["audit"])
_HEADS = 400  # days
Number = Annotated[int, Query(ge=0, lt=2**63)]
Text = Annotated[str, Query(max_length=200)]


class EntryView(Body):
    """An entry: who did what to which object when; `before` and `after` are digests of what was and is."""

    number: int
    time: int
    actor: str
    role: str
    action: str
    object: str
    before: str
    after: str
    reason: str
    previous: str
    hash: str

    @classmethod
    def of(cls, entry: Audit) -> EntryView:
        """An entry as organisers see it."""
        return cls(**{name: getattr(entry, name) for name in cls.model_fields})


class EntriesView(Body):
    """Entries, the latest first; those before come with `before` set to `next`, until that is None."""

    entries: list[EntryView]
    next: int | None


class HeadView(Body):
    """Where the log ended on a day; `signature` is Ed25519 over `signed`, empty where the operator has no key."""

    number: int
    hash: str
    created: int
    signed: str
    signature: str

    @classmethod
    def of(cls, head: Head) -> HeadView:
        """A head as all see it."""
        signed = audit_heads.text(head.number, head.hash, head.created).decode()
        return cls(number=head.number, hash=head.hash, created=head.created, signed=signed, signature=head.signature)


class Verified(Body):
    """Whether the log holds: the first entry that does not follow, the first kept head that it does not have."""

    entries: int
    head: str
    first_break: int | None
    first_lost_head: int | None


def page(session: Session, wanted: Filter, before: int, limit: int) -> EntriesView:
    """Entries that fit a filter, of numbers below `before`."""
    found = audit.entries(session, wanted, before, limit)
    return EntriesView(entries=[EntryView.of(entry) for entry in found],
                       next=found[-1].number if len(found) == limit else None)  # fmt: skip


def verified(session: Session) -> Verified:
    """The log, reckoned through from its first entry on."""
    number, head = audit.head(session)
    return Verified(entries=number, head=head, first_break=audit.first_break(session),
                    first_lost_head=audit_heads.first_break(session))  # fmt: skip


@router.get("/admin/audit", response_model=EntriesView)
def entries(
    server: Served, who: Asking,
    actor: Text = "", action: Text = "", object: Text = "", since: Number = 0, until: Number = 2**63 - 1,
    before: Number = 2**63 - 1, limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EntriesView:  # fmt: skip
    """Entries of [since, until) in microseconds; `action` may be the beginning of one, such as `slot.`."""
    who.require("organiser")
    with server.database.read() as session:
        return page(session, Filter(actor, action, object, since, until), before, limit)


@router.post("/admin/audit/verify", response_model=Verified)
def verify(calling: Calling) -> Response:
    """Reckon the whole chain through; that changes nothing, and is written down nowhere."""
    calling.viewer.require("organiser")
    with calling.server.database.read() as session:
        return Response(verified(session).model_dump_json(), media_type="application/json")


@router.get("/audit/heads", response_model=list[HeadView])
def heads(server: Served) -> list[HeadView]:
    """Where the log ended on each day, the latest first: to keep, and to hold against the log."""
    with server.database.read() as session:
        return [HeadView.of(head) for head in audit_heads.latest(session, _HEADS)]


@router.get("/admin/export", response_class=StreamingResponse)
def exported(server: Served, who: Asking) -> StreamingResponse:
    """Teams with their people, submissions, slots, decisions and the whole log, as CSV in one zip archive."""
    who.require("organiser")
    with server.database.write() as session:  # it holds addresses of people
        audit.record(session, who.actor, "export", "all", server.clock())
    named = {"Content-Disposition": 'attachment; filename="competition.zip"'}
    made = export.archive(server.database, server.storage.folder)
    return StreamingResponse(export.pieces(made), media_type="application/zip", headers=named)
