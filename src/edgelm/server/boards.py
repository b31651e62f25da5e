"""The boards of the tracks, revision by revision.

A revision is a row with three blobs: the entries before any decision, the decisions (`score.board.Board`), and the
standings that follow from both by the pure functions of `score`. So each can be computed again at any time, and a page
reads what is there. A live board follows the results by itself; from frozen on, entries change only where organisers
publish them anew.

A revision of 1,200 submissions has 6 MB, and each result brings one. So of a live board's recounts, which nobody has
decided, the last of each day is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.checkpoint import validate
from edgelm.files import canonical_json, parse_json
from edgelm.report import Report
from edgelm.rules.base import Rules
from edgelm.score import board as decided
from edgelm.score.board import Board
from edgelm.score.collect import reference_entry
from edgelm.score.difference import Difference, difference
from edgelm.score.entries import Entry
from edgelm.score.protocols import common, hold_to
from edgelm.score.standings import Standings, entries_bytes, public
from edgelm.score.states import shows_holdouts
from edgelm.server import audit, blobs, entries, phases, rulebook
from edgelm.server.audit import SYSTEM, Actor
from edgelm.server.bundles import Basis, bundled
from edgelm.server.clock import DAY
from edgelm.server.entries import Gathered
from edgelm.server.refusals import Conflict, NotThere
from edgelm.server.state import Server
from edgelm.server.storage import Storage
from edgelm.server.tables import Revision, RuleSet

REFERENCE = "base"
_MOST = 1 << 30  # bytes of a blob of a board
_Entries = TypeAdapter(tuple[Entry, ...])


class Published(NamedTuple):
    """A revision, and the standings that it published."""

    row: Revision
    standings: Standings


class Draft(NamedTuple):
    """What a revision would publish."""

    board: Board
    received: Gathered
    standings: Standings
    bundle: str | None  # digest; of a final board


def latest(session: Session, track: str) -> Revision | None:
    """The last revision of a track's board; None of a draft."""
    return session.scalars(select(Revision).filter_by(track=track).order_by(Revision.number.desc()).limit(1)).first()


def revision(session: Session, server: Server, track: str, number: int | None = None) -> Published:
    """A revision of a track's board, by default the last.

    Raises:
        UnknownName: there is no such track.
        NotThere: there is no such revision, or none yet.
    """
    server.rules.track(track)
    row = latest(session, track) if number is None else session.get(Revision, (track, number))
    if row is None:
        what = "the board is not open yet" if number is None else f"the board has no revision {number}"
        raise NotThere(f"{track}: {what}", mend="see the dates" if number is None else "see its history")
    return Published(row, standings_of(server.storage, row.standings))


def rules_of(session: Session, server: Server, standings: Standings) -> Rules:
    """The rules that standings follow from, which need not be those in force."""
    row = session.get(RuleSet, standings.rules_digest)
    return server.rules if row is None else rulebook.rules_of(row.body)


def board_of(storage: Storage, row: Revision | None) -> Board:
    """The decisions in force on a board; of a draft, none."""
    return Board() if row is None else _board(storage, row.decisions)


@lru_cache(maxsize=64)
def standings_of(storage: Storage, sha256: str) -> Standings:
    """The standings of that digest."""
    return validate(Standings, parse_json(storage.read(sha256, _MOST), "standings"), "standings")


@lru_cache(maxsize=8)
def entries_of(storage: Storage, sha256: str) -> tuple[Entry, ...]:
    """The entries of that digest, hold-outs included: no answer of the server holds them as they are."""
    return _Entries.validate_python(parse_json(storage.read(sha256, _MOST), "entries"))


def held(session: Session, server: Server, track: str) -> Gathered:
    """The entries that the last revision was computed from.

    Raises:
        NotThere: the board is a draft.
    """
    row = revision(session, server, track).row
    return Gathered(entries_of(server.storage, row.entries), row.entries)


def draft(server: Server, track: str, board: Board, received: Gathered, basis: Basis | None = None) -> Draft:
    """What a board says of entries, by the pure functions of `score` alone: a second for hundreds of teams.

    Args:
        server: whose board.
        track: of the board.
        board: with the number that follows on the last revision's.
        received: the entries.
        basis: of the bundle that a final board comes with, which takes minutes to make; of others, None.

    Raises:
        MissingInput, BadFile: the bundle cannot be made.
    """
    rules = server.rules
    standings = decided.standing(board, rules, rules.track(track), received.entries)
    return Draft(board, received, standings, bundled(server, track, board, received.entries, basis) if basis else None)


def publish(session: Session, server: Server, actor: Actor, made: Draft, reason: str, now: int) -> Published:
    """Add a revision.

    Args:
        session: a writing one.
        server: whose board.
        actor: who publishes.
        made: what is published.
        reason: as published.
        now: microseconds.

    Raises:
        Conflict: another revision came first.
    """
    board, track, put = made.board, made.standings.track, server.storage.put
    row = latest(session, track)
    if board.revision != (row.number if row else 0) + 1:
        raise Conflict(f"the board of {track} was published anew meanwhile", mend="look at it, and try again")
    standings = put(made.standings.to_bytes())
    received, decisions = put(entries_bytes(made.received.entries)), put(canonical_json(board.model_dump(mode="json")))
    before = None if row is None else row.standings
    audit.record(session, actor, f"board.{board.state}", track, now, before=before, after=standings, reason=reason)
    bundle = {made.bundle} if made.bundle else set()
    blobs.enter(session, server.storage, {standings, received, decisions, *bundle}, now)
    added = Revision(track=track, number=board.revision, state=board.state, standings=standings, entries=received,
                     decisions=decisions, bundle=made.bundle, created=now, reason=reason)  # fmt: skip
    session.add(added)
    session.flush()
    return Published(added, made.standings)


def preview(session: Session, server: Server, track: str, board: Board, received: Gathered) -> Difference:
    """What another board would change on the one that is published.

    What would show hold-outs for the first time is compared without them: their figures are seen by nobody before two
    people have published them.

    Raises:
        NotThere: nothing is published yet.
    """
    row, before = revision(session, server, track)
    if shows_holdouts(board.state) and not shows_holdouts(before.state):
        board = board.model_copy(update={"state": row.state})
    return difference(before, draft(server, track, board, received).standings)


def differences(session: Session, server: Server, rows: Sequence[Revision]) -> list[Difference | None]:
    """What each revision changed on the one before that is kept; None of a first."""
    return [_difference(server.storage, before[0].standings, row.standings)
            if (before := history(session, row.track, row.number, 1)) else None for row in rows]  # fmt: skip


def history(session: Session, track: str, before: int, limit: int) -> list[Revision]:
    """Revisions of a number below `before`, the latest first."""
    wanted = select(Revision).filter_by(track=track).where(Revision.number < before)
    return list(session.scalars(wanted.order_by(Revision.number.desc()).limit(limit)))


def states(session: Session, server: Server) -> dict[str, Revision | None]:
    """The last revision of every track's board."""
    return {track.name: latest(session, track.name) for track in server.rules.tracks}


def baseline(server: Server, rules: Rules, published: Published) -> Entry | None:
    """What the uncompressed bases reach, as far as the board shows it; None where none are set, or none fit."""
    track = rules.track(published.standings.track)
    reports = {slot: _reference(path) for slot, path in server.settings.reference.items() if slot in track.slots}
    if not reports:
        return None
    compared = common(rules, entries_of(server.storage, published.row.entries))
    [shown] = public(rules, [hold_to(compared, reference_entry(rules, reports, REFERENCE))], published.standings.state)
    return shown


def follow(server: Server) -> None:
    """Open boards with the scored phase, freeze them at its end, and publish anew what is live as results come in."""
    entries.prepare(server)
    for track in server.rules.tracks:
        _follow(server, track.name, server.clock())


def _follow(server: Server, track: str, now: int) -> None:
    with server.database.read() as session:
        row = latest(session, track)
        board = board_of(server.storage, row)
        scored = [phase for phase in phases.rows(session) if phase.kind == "scored"]
        received = entries.gathered(session, server, track)
    if board.state == "draft" and scored and scored[0].opens <= now:
        following, reason = decided.advance(board, "live"), "the scored phase has opened"
    elif board.state == "live" and row and scored and all(phase.closes <= now for phase in scored):
        following, reason = decided.advance(board, "frozen"), "the scored phase has closed"
        received = Gathered(entries_of(server.storage, row.entries), row.entries)
    elif board.state == "live" and row and row.entries != received.digest:
        following, reason = decided.recounted(board), "results have come in"
    else:
        return
    made = draft(server, track, following, received)  # here, so that nobody who writes has to wait for it
    with server.database.write() as session:
        current = latest(session, track)
        if (current.number if current else 0) != board.revision:  # the next time
            return
        published = publish(session, server, SYSTEM, made, reason, now)
        if current and _is_recount(board) and _is_recount(following) and current.created // DAY == now // DAY:
            session.delete(current)
    standings_of(server.storage, published.row.standings)  # so that the first reader does not wait for it
    entries_of(server.storage, published.row.entries)


def _is_recount(board: Board) -> bool:
    return all(event.revision != board.revision for event in board.log)


@lru_cache(maxsize=256)
def _difference(storage: Storage, before: str, after: str) -> Difference:
    return difference(standings_of(storage, before), standings_of(storage, after))


@lru_cache(maxsize=64)
def _board(storage: Storage, sha256: str) -> Board:
    return validate(Board, parse_json(storage.read(sha256, _MOST), "decisions"), "decisions")


@lru_cache(maxsize=16)
def _reference(path: Path) -> Report:
    return Report.load(path)
