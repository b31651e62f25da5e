"""A board through its states: what organisers decide, revision by revision. Rules R3.5, R7 and R9 of the rule set.

A board holds decisions, and the standings are computed from these and the entries. Every operation gives a new board
with the next revision and one line more in its log; a final board allows none, so that its bytes stay what was signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from edgelm.errors import BadOption, Unsupported
from edgelm.rules.base import Rules, Track
from edgelm.score.disqualification import Disqualification, disqualified
from edgelm.score.entries import Entry, Record, ranked_tasks
from edgelm.score.protocols import compared
from edgelm.score.signers import two_signatures
from edgelm.score.standings import Standings, public, standings
from edgelm.score.states import Shown, State, require_move, takes_decisions


class Event(Record):
    """One line of the log."""

    revision: int
    what: str
    why: str = ""
    signatures: tuple[str, ...] = ()


class Board(Record):
    """The decisions about one track's board."""

    state: State = "draft"
    revision: int = 0
    void: tuple[str, ...] = ()
    disqualified: tuple[Disqualification, ...] = ()
    log: tuple[Event, ...] = ()


def advance(board: Board, to: State, signatures: tuple[str, ...] = ()) -> Board:
    """The board in the next state; two people sign what becomes final.

    Raises:
        Unsupported: that is not the next state.
        BadOption: the signatures of a final board are not those of two people.
    """
    require_move(board.state, to)
    if to == "final":
        _require_two(signatures)
    return _revised(board, f"{board.state} → {to}", "", signatures, state=to)


def decided(
    rules: Rules,
    state: Shown,
    revision: int,
    *,
    void: Mapping[str, str],
    disqualified: Iterable[Disqualification] = (),
    signatures: tuple[str, ...] = (),
) -> Board:
    """A board in a state, with its decisions made at once, in that revision; `void` has the reasons by task.

    Raises:
        Unsupported, UnknownName, BadOption: see `void_task`, `disqualify` and `advance`.
    """
    board = Board(state="provisional" if state == "final" else state)
    for task, reason in void.items():
        board = void_task(board, rules, task, reason)
    for each in disqualified:
        board = disqualify(board, each)
    if state == "final":
        board = advance(board, state, signatures)
    log = tuple(event.model_copy(update={"revision": revision}) for event in board.log)
    return board.model_copy(update={"revision": revision, "log": log})


def void_task(board: Board, rules: Rules, task: str, reason: str) -> Board:
    """The board without a task (or one hold-out): the maximum falls, no weight changes.

    Raises:
        Unsupported: the board is final or not yet open, or the task is void already.
        UnknownName: the rules have no such task.
        BadOption: there is no reason.
    """
    _require_open(board)
    ranked_tasks(rules, [task])
    if task in board.void:
        raise Unsupported(f"{task} is void already", mend="lift it first, or leave it")
    return _revised(board, f"void {task}", _given(reason), void=(*board.void, task))


def lift(board: Board, task: str, reason: str) -> Board:
    """The board with a void task back in.

    Raises:
        Unsupported: the board is final or not yet open, or the task is not void.
        BadOption: there is no reason.
    """
    _require_open(board)
    if task not in board.void:
        raise Unsupported(f"{task} is not void", mend=f"void are: {', '.join(board.void) or 'none'}")
    return _revised(board, f"lift {task}", _given(reason), void=tuple(name for name in board.void if name != task))


def disqualify(board: Board, decision: Disqualification) -> Board:
    """The board with a submission or team out of competition.

    Raises:
        Unsupported: the board is final or not yet open, or that decision stands already.
    """
    _require_open(board)
    if decision in board.disqualified:
        raise Unsupported(f"{decision.team} is out already for '{decision.reason}'", mend="leave it")
    return _revised(board, *_said(decision), disqualified=(*board.disqualified, decision))


def reinstate(board: Board, decision: Disqualification, reason: str, signatures: tuple[str, ...]) -> Board:
    """The board without that disqualification; its lines in the log stay.

    Raises:
        Unsupported: the board is final or not yet open, or no such decision stands.
        BadOption: there is no reason, or the signatures are not those of two people.
    """
    _require_open(board)
    if decision not in board.disqualified:
        raise Unsupported(f"nothing puts {decision.team} out for '{decision.reason}'", mend="name a standing decision")
    _require_two(signatures)
    rest = tuple(each for each in board.disqualified if each != decision)
    what = f"reinstate {decision.team} {decision.submission}".rstrip()
    return _revised(board, what, _given(reason), signatures, disqualified=rest)


def rescore(board: Board, reason: str) -> Board:
    """The next revision of a provisional board, for entries that an objection has changed.

    Raises:
        Unsupported: the board is not provisional.
        BadOption: there is no reason.
    """
    if board.state != "provisional":
        raise Unsupported(f"a board that is {board.state} is not re-scored", mend="object while it is provisional")
    return _revised(board, "re-score", _given(reason))


def recounted(board: Board) -> Board:
    """The next revision of a live board, for results that have come in: nobody has decided anything.

    Raises:
        Unsupported: the board is not live.
    """
    if board.state != "live":
        raise Unsupported(f"a board that is {board.state} takes no results", mend="have it re-scored, with a reason")
    return board.model_copy(update={"revision": board.revision + 1})


def unfounded(board: Board) -> Iterator[str]:
    """What stands on a board although no event of its log decided it: every decision is signed, or has a reason."""
    if board.state == "final" and not any(map(_makes_final, board.log)):
        yield "it is final, which no two people have signed"
    for task in board.void:
        if not any(event.what == f"void {task}" and event.why.strip() for event in board.log):
            yield f"{task} is void, for which the log has no reason"
    for decision in board.disqualified:
        if not any((event.what, event.why, event.signatures) == _said(decision) for event in board.log):
            yield f"{decision.team} is out for '{decision.reason}', of which the log says nothing"


def standing(board: Board, rules: Rules, track: Track, entries: Iterable[Entry]) -> Standings:
    """What the board says of these entries in its state.

    Raises:
        Unsupported: it is a draft, which shows rules and dates alone.
    """
    left = shown_entries(board, rules, entries)
    assert board.state != "draft"
    return standings(rules, track, left, void=board.void, state=board.state, revision=board.revision)


def shown_entries(board: Board, rules: Rules, entries: Iterable[Entry]) -> list[Entry]:
    """The entries with the decisions that concern them, compared, as they may be seen in the board's state.

    Who is out by a decision has no say in which protocol counts, so that it is as if it had never come.

    Raises:
        Unsupported: it is a draft.
    """
    if board.state == "draft":
        raise Unsupported("a draft has no standings", mend="open the scored phase first")
    return compared(rules, public(rules, disqualified(entries, board.disqualified), board.state))


def _revised(board: Board, what: str, why: str, signatures: tuple[str, ...] = (), **changes: object) -> Board:
    revision = board.revision + 1
    event = Event(revision=revision, what=what, why=why, signatures=signatures)
    return board.model_copy(update={**changes, "revision": revision, "log": (*board.log, event)})


def _said(decision: Disqualification) -> tuple[str, str, tuple[str, ...]]:
    """What the log says of a disqualification, why, and signed by whom."""
    what = f"disqualify {decision.team} {decision.submission}".rstrip()
    return what, f"{decision.reason}: {decision.evidence}", decision.signatures


def _makes_final(event: Event) -> bool:
    try:
        two_signatures(event.signatures)
    except ValueError:
        return False
    return event.what.endswith("→ final")


def _require_open(board: Board) -> None:
    if not takes_decisions(board.state):
        mend = "change the rules instead" if board.state == "draft" else "a final board stays as it was signed"
        raise Unsupported(f"nothing is decided about a board that is {board.state}", mend=mend)


def _require_two(signatures: tuple[str, ...]) -> None:
    try:
        two_signatures(signatures)
    except ValueError:
        signed = ", ".join(signatures) or "nobody"
        raise BadOption(f"signed by {signed}", why="two different people must sign", mend="name both") from None


def _given(reason: str) -> str:
    if not reason.strip():
        raise BadOption("there is no reason", why="every decision is published with one", mend="give the reason")
    return reason
