"""The states of a board, in the one order in which they follow each other. Rule R9 of the rule set.

draft         rules and dates
live          the public tasks, out of what they can earn; nothing of the hold-outs
frozen        the last live board, while what was received is evaluated
provisional   everything; objections lead to revisions
final         as signed; nothing is computed again
"""

from __future__ import annotations

from typing import Literal

from edgelm.errors import Unsupported

State = Literal["draft", "live", "frozen", "provisional", "final"]
Shown = Literal["live", "frozen", "provisional", "final"]  # in which there is a board to see
STATES: tuple[State, ...] = ("draft", "live", "frozen", "provisional", "final")


def require_move(state: State, to: State) -> None:
    """Let a board go on to the next state, and nowhere else.

    Raises:
        Unsupported: it would go back, stay or leave one out.
    """
    following = STATES[STATES.index(state) + 1 :]
    if to not in following[:1]:
        mend = f"the next state is {following[0]}" if following else "a final board stays as it was signed"
        raise Unsupported(f"a board that is {state} cannot become {to}", mend=mend)


def shows_holdouts(state: State) -> bool:
    """Whether hold-out figures may be seen."""
    return state in ("provisional", "final")


def takes_decisions(state: State) -> bool:
    """Whether organisers may still void a task, or put a submission out or back in."""
    return state in ("live", "frozen", "provisional")
