"""Boards and results: what is published of each track, revision by revision, and what each submission reached."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from edgelm.report import Exact
from edgelm.rules.base import Rules
from edgelm.score.difference import Difference
from edgelm.score.entries import Entry, Score, Whole, ranked_scores
from edgelm.score.standings import Ineligible, Sensitivity, Standings, TaskResult
from edgelm.score.states import State
from edgelm.score.write import board_csv
from edgelm.server import appeals, boards, results, sources
from edgelm.server.boards import Published
from edgelm.server.calling import Asking, Served
from edgelm.server.fields import Body
from edgelm.server.refusals import NotThere
from edgelm.server.results import ResultView
from edgelm.server.state import Server
from edgelm.server.tables import Submission

router = APIRouter(tags=["boards"])

TrackName = Annotated[str, Field(max_length=100, pattern="^[^\0]*$")]
Number = Annotated[int | None, Query(ge=1, lt=2**63)]
_FOREVER = {"Cache-Control": "public, max-age=86400, immutable"}


class BoardState(Body):
    """A track's board, in short. `published` is microseconds of UTC; a draft has no revision."""

    track: str
    state: State
    revision: int
    published: int | None
    objections: int | None  # until when they are taken; None before the provisional board


class Size(Body):
    """How large a submission is: bytes of peak memory, with their meters, and of weights."""

    memory: Whole | None
    meters: list[str]
    parameters: int
    bytes: int

    @classmethod
    def of(cls, entry: Entry) -> Size:
        """The size of an entry."""
        return cls(memory=entry.peak_memory, meters=list(entry.meters), parameters=entry.parameters, bytes=entry.bytes)


class LineView(Body):
    """One line of a board: a team as its representative stands."""

    rank: int
    team: str
    submission: str
    total: Exact
    why: str  # this submission stands for the team
    review: str  # of the submission, as it is now: open, cleared, confirmed; none if empty
    tasks: dict[str, TaskResult]  # in percent; throughput in tokens a second
    size: Size


class BaselineView(Body):
    """What the uncompressed bases reach, unranked."""

    tasks: dict[str, Score]
    size: Size


class BoardView(Body):
    """A revision of a board. Fractions are exact; totals are of `maximum` points."""

    track: str
    state: State
    revision: int
    published: int
    reason: str
    rules: str
    rules_digest: str
    selection: str
    maximum: int
    tasks: dict[str, int]  # in order, with their weights
    void: list[str]
    memory_limit: int  # bytes; strictly below it
    memory_meter: str
    throughput_source: str
    teams: int  # on the board, of which `lines` may be the first
    lines: list[LineView]
    ineligible: list[Ineligible]
    baseline: BaselineView | None


class SensitivityView(Body):
    """What each selection rule would say; `selection` is in force."""

    track: str
    revision: int
    selection: str
    rows: list[Sensitivity]


class RevisionView(Body):
    """A revision, and what it changed on the one before."""

    revision: int
    state: State
    published: int
    reason: str
    standings: str  # sha256 of their canonical JSON
    difference: Difference | None


class HistoryView(Body):
    """Revisions, the latest first."""

    track: str
    revisions: list[RevisionView]


@router.get("/boards")
def all_boards(server: Served) -> list[BoardState]:
    """The state of every track's board."""
    with server.database.read() as session:
        return listed(session, server)


@router.get("/boards/{track}", response_model=BoardView)
def board(
    track: TrackName, server: Served, revision: Number = None,
    limit: Annotated[int | None, Query(ge=1, lt=2**31)] = None, format: Literal["json", "csv"] = "json",
) -> Response | BoardView:  # fmt: skip
    """A board down to a rank, by default the one that the rules say; ties are not split. As CSV, all of it."""
    with server.database.read() as session:
        found = boards.revision(session, server, track, revision)
        if format == "csv":
            name = f"{found.standings.track}-{found.row.number}.csv"
            headers = {"Content-Disposition": f'attachment; filename="{name}"'}
            rules = boards.rules_of(session, server, found.standings)
            return PlainTextResponse(board_csv(rules, found.standings), media_type="text/csv", headers=headers)
        return view(session, server, found, limit)


@router.get("/boards/{track}/standings")
def standings(track: TrackName, server: Served, revision: Number = None) -> Response:
    """The standings byte for byte: canonical JSON, from which everything of the board is taken."""
    with server.database.read() as session:
        found = boards.revision(session, server, track, revision)
    headers = _FOREVER if revision else None
    return Response(found.standings.to_bytes(), media_type="application/json", headers=headers)


@router.get("/boards/{track}/sensitivity")
def sensitivity(track: TrackName, server: Served, revision: Number = None) -> SensitivityView:
    """What each of the three selection rules would say."""
    with server.database.read() as session:
        return sensitivity_view(boards.revision(session, server, track, revision))


@router.get("/boards/{track}/history")
def history(
    track: TrackName, server: Served, before: Annotated[int, Query(ge=1, lt=2**63)] = 2**63 - 1,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> HistoryView:  # fmt: skip
    """Revisions with their differences, the latest first, of a number below `before`."""
    server.rules.track(track)
    with server.database.read() as session:
        return history_view(session, server, track, before, limit)


@router.get("/boards/{track}/bundle", response_class=FileResponse)
def bundle(track: TrackName, server: Served) -> FileResponse:
    """The signed bundle of a final board, for `edgelm replay`: a .tar that never changes."""
    with server.database.read() as session:
        row = boards.revision(session, server, track).row
    if row.bundle is None:
        raise NotThere(f"{track}: the board is {row.state}", why="a bundle is made when it becomes final")
    if not server.storage.holds(row.bundle):
        raise NotThere(f"{track}: the bundle's file is lost", mend="tell the organisers, who have it in a backup")
    name = f"{track}-{row.number}.tar"
    return FileResponse(server.storage.path(row.bundle), media_type="application/x-tar", filename=name,
                        headers={**_FOREVER, "ETag": f'"{row.bundle}"'})  # fmt: skip


@router.get("/results/{submission}")
def result(submission: TrackName, server: Served, who: Asking) -> ResultView:
    """What a submission reached: to all from the provisional board on; its team and reviewers see the public part."""
    with server.database.read() as session:
        return results.result(session, server, who, submission)


@router.get("/results/{submission}/code", response_class=StreamingResponse)
def code(submission: TrackName, server: Served, who: Asking) -> StreamingResponse:
    """A submission's code as a .tar: to all once the board is final; its team and reviewers see it before."""
    found = result(submission, server, who).code
    if not found:
        raise NotThere("there is no code", why="or none that you may see yet: it is for all once the board is final")
    name = f"{submission}-code"
    return StreamingResponse(sources.archive(server.storage, name, found), media_type="application/x-tar",
                             headers={"Content-Disposition": f'attachment; filename="{name}.tar"'})  # fmt: skip


def listed(session: Session, server: Server) -> list[BoardState]:
    """The state of every track's board."""
    return [
        BoardState(track=track, state=boards.board_of(server.storage, row).state, revision=row.number if row else 0,
                   published=row.created if row else None, objections=appeals.deadline(session, server.rules, track))
        for track, row in boards.states(session, server).items()
    ]  # fmt: skip


def view(session: Session, server: Server, found: Published, limit: int | None = None) -> BoardView:
    """A revision as all may see it, down to a rank."""
    row, standings = found
    rules = boards.rules_of(session, server, standings)
    entries = {entry.submission: entry for entry in boards.entries_of(server.storage, row.entries)}
    lines = [line for line in standings.board if line.rank <= (limit or standings.board_ranks)]
    ids = [line.submission for line in lines]
    reviews = dict(session.execute(select(Submission.id, Submission.review).where(Submission.id.in_(ids))).all())
    return BoardView(
        track=standings.track, state=standings.state, revision=row.number, published=row.created, reason=row.reason,
        rules=standings.rules, rules_digest=standings.rules_digest, selection=standings.selection,
        maximum=standings.maximum, tasks=_weights(rules, standings),
        void=list(standings.void), memory_limit=rules.memory_limit, memory_meter=rules.memory_meter,
        throughput_source=rules.throughput_source, teams=len(standings.board),
        lines=[
            LineView(rank=line.rank, team=line.team, submission=line.submission, total=line.total, why=line.why,
                     review=reviews.get(line.submission, ""), tasks=line.tasks, size=Size.of(entries[line.submission]))
            for line in lines
        ],
        ineligible=list(standings.ineligible), baseline=_baseline(server, rules, found),
    )  # fmt: skip


def _weights(rules: Rules, standings: Standings) -> dict[str, int]:
    """The weights of what the board shows, in its order."""
    return {task: weight for task, weight in rules.weights.items() if task in standings.tasks}


def _baseline(server: Server, rules: Rules, found: Published) -> BaselineView | None:
    standings, base = found.standings, boards.baseline(server, rules, found)
    if base is None:
        return None
    left_out = {*standings.void, *(task for task in rules.weights if task not in standings.tasks)}
    scores = ranked_scores(rules, rules.track(standings.track), base, left_out)
    return BaselineView(tasks=scores, size=Size.of(base))


def sensitivity_view(found: Published) -> SensitivityView:
    """The table of a revision."""
    row, standings = found
    return SensitivityView(track=standings.track, revision=row.number, selection=standings.selection,
                           rows=list(standings.sensitivity))  # fmt: skip


def history_view(session: Session, server: Server, track: str, before: int, limit: int) -> HistoryView:
    """Revisions of a track's board with their differences."""
    rows = boards.history(session, track, before, limit)
    changes = boards.differences(session, server, rows)
    return HistoryView(track=track, revisions=[
        RevisionView(revision=row.number, state=boards.board_of(server.storage, row).state, published=row.created,
                     reason=row.reason, standings=row.standings, difference=change)
        for row, change in zip(rows, changes, strict=True)
    ])  # fmt: skip
