"""The scored submissions that a team may make in a track and phase, as a ledger of numbered slots. Rule R2.

    free ──reserve──▶ reserved ──start──▶ spent
      ▲                  │                  │
      └──── release ◀────┴───── release ────┘

A package that passes the checker reserves the lowest free slot, and its evaluation spends it. Whoever stores ledgers
makes `keys` unique, so that no two requests at once can take one slot. Each function gives a new ledger.
"""

from __future__ import annotations

from typing import Literal

from edgelm.errors import BadOption, Unsupported
from edgelm.rules.base import Rules
from edgelm.score.entries import Record

Use = Literal["reserved", "spent"]
Cause = Literal["withdrawal", "platform-fault", "cancellation", "crash", "out-of-memory", "time-limit",
                "disqualification"]  # fmt: skip
FREES_SPENT = ("platform-fault", "cancellation")  # what gives a slot back after its evaluation has started
FREES_RESERVED = ("withdrawal", *FREES_SPENT)


class Slot(Record):
    """A slot in use, and the package (manifest digest) that uses it."""

    number: int
    package: str
    use: Use


class Ledger(Record):
    """The slots of one team in one track and phase."""

    team: str
    track: str
    phase: str
    allowance: int  # slots; numbered from 1
    attempts: int  # packages that may still be handed in
    taken: tuple[Slot, ...] = ()  # the others are free
    accepted: tuple[str, ...] = ()  # packages that ever reserved a slot
    log: tuple[str, ...] = ()

    @property
    def keys(self) -> list[tuple[str, str, str, int]]:
        """What must be unique among all ledgers: team, track, phase and number of each slot in use."""
        return [(self.team, self.track, self.phase, slot.number) for slot in self.taken]

    @property
    def free(self) -> list[int]:
        """The numbers of the free slots, lowest first."""
        taken = {slot.number for slot in self.taken}
        return [number for number in range(1, self.allowance + 1) if number not in taken]


def opened(rules: Rules, team: str, track: str, phase: str) -> Ledger:
    """A ledger with all slots free."""
    return Ledger(team=team, track=track, phase=phase, allowance=rules.submissions, attempts=rules.attempts)


def refuse(ledger: Ledger) -> Ledger:
    """After the checker refused a package: no slot, but one attempt.

    Raises:
        Unsupported: no attempt is left.
    """
    return ledger.model_copy(update={"attempts": _one_less(ledger)})


def reserve(ledger: Ledger, package: str) -> Ledger:
    """After a package passed the checker: the lowest free slot is its own.

    Raises:
        Unsupported: no slot is free, no attempt is left, or the same package was accepted before.
    """
    if package in ledger.accepted:
        raise Unsupported(f"package {package[:12]} was accepted before", mend="change the package and pack it again")
    if not ledger.free:
        mend = "withdraw one whose evaluation has not started" if _reserved(ledger) else "wait for the next phase"
        raise Unsupported(f"all {ledger.allowance} slots of {ledger.team} are in use", mend=mend)
    slot = Slot(number=ledger.free[0], package=package, use="reserved")
    return ledger.model_copy(update={
        "attempts": _one_less(ledger), "taken": (*ledger.taken, slot), "accepted": (*ledger.accepted, package),
    })  # fmt: skip


def start(ledger: Ledger, package: str) -> Ledger:
    """When the evaluation of a package starts: its slot is spent.

    Raises:
        Unsupported: it has no slot, or was started before.
    """
    slot = _slot(ledger, package)
    if slot.use == "spent":
        raise Unsupported(f"the evaluation of {package[:12]} has started before", mend="wait for it, or release it")
    spent = slot.model_copy(update={"use": "spent"})
    return ledger.model_copy(update={"taken": tuple(spent if each == slot else each for each in ledger.taken)})


def release(ledger: Ledger, package: str, cause: Cause, reason: str = "") -> Ledger:
    """The slot of a package free again, if the cause gives it back.

    Raises:
        Unsupported: it has no slot, or its slot stays in use after such an end.
    """
    slot = _slot(ledger, package)
    if cause not in (FREES_RESERVED if slot.use == "reserved" else FREES_SPENT):
        raise Unsupported(
            f"slot {slot.number} of {ledger.team} stays {slot.use}", why=f"{cause} gives no slot back",
            mend=f"it is given back after: {', '.join(FREES_SPENT)}; before the start, withdrawal",
        )  # fmt: skip
    line = f"slot {slot.number} released: {cause}" + (f", {reason}" if reason else "")
    rest = tuple(each for each in ledger.taken if each != slot)
    return ledger.model_copy(update={"taken": rest, "log": (*ledger.log, line)})


def grant(ledger: Ledger, reason: str) -> Ledger:
    """One slot more, by the organiser.

    Raises:
        BadOption: there is no reason.
    """
    if not reason.strip():
        raise BadOption("there is no reason", why="a granted slot is logged with one", mend="give the reason")
    number = ledger.allowance + 1
    return ledger.model_copy(update={"allowance": number, "log": (*ledger.log, f"slot {number} granted: {reason}")})


def _one_less(ledger: Ledger) -> int:
    if ledger.attempts == 0:
        raise Unsupported(f"{ledger.team} has no attempt left in {ledger.track}", mend="ask the organisers")
    return ledger.attempts - 1


def _reserved(ledger: Ledger) -> bool:
    return any(slot.use == "reserved" for slot in ledger.taken)


def _slot(ledger: Ledger, package: str) -> Slot:
    for slot in ledger.taken:
        if slot.package == package:
            return slot
    raise Unsupported(f"package {package[:12]} has no slot", mend="name one that was accepted and not released")
