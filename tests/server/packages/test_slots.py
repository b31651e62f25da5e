"""Rows of slots mean what ledgers of slots mean, and fifty threads that race for one slot take it once."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from edgelm.errors import Unsupported
from edgelm.rules import Rules
from edgelm.score import slots as ledgers
from edgelm.server import slots
from edgelm.server.audit import SYSTEM
from edgelm.server.database import Database
from edgelm.server.refusals import Conflict, Refused
from edgelm.server.tables import Slot, Submission

from ..conftest import ON_BOTH

pytestmark = ON_BOTH


PLACE = ("red", "compression", "scored")
MakeSubmission = Callable[..., str]


def held(database: Database) -> list[tuple[int, str | None, str]]:
    with database.read() as session:
        return [(slot.number, slot.submission_id, slot.use) for slot in slots.slots(session, *PLACE)]


def test_rows_and_ledgers_agree_whatever_happens(database: Database, handed_in: MakeSubmission, rules: Rules) -> None:
    rules = replace(rules, attempts=7)
    dice, ledger, names = random.Random(3), ledgers.opened(rules, *PLACE), list[str]()
    seen = Counter[str]()
    for step in range(120):
        deed = dice.choice(("reserve", "reserve", "start", "release", "release", "grant" if step % 9 == 0 else "start"))
        if deed == "reserve":
            names.append(handed_in(f"package-{step}"))
        name = dice.choice([*names[-6:], *(slot.package for slot in ledger.taken)]) if names else ""
        cause = dice.choice(("withdrawal", "platform-fault", "cancellation", "crash"))
        if deed == "reserve":
            name = names[-1]
        expected = ledger
        try:
            if deed == "reserve":
                expected = ledgers.reserve(ledger, name)
            elif deed == "start":
                expected = ledgers.start(ledger, name)
            elif deed == "release":
                expected = ledgers.release(ledger, name, cause)  # type: ignore[arg-type]
            else:
                expected = ledgers.grant(ledger, "a cut cable")
        except Unsupported:
            seen[f"no {deed}"] += 1
        try:
            with database.write() as session:
                if deed == "reserve":
                    if slots.attempts_left(session, rules, *PLACE):
                        slots.reserve(session, rules, session.get_one(Submission, name))
                    slots.attempt(session, rules, *PLACE)
                elif deed == "grant":
                    slots.grant(session, SYSTEM, rules, *PLACE, "a cut cable", step)
                elif name and deed == "start":
                    slots.start(session, session.get_one(Submission, name))
                elif name:
                    slots.release(session, session.get_one(Submission, name), cause)  # type: ignore[arg-type]
        except Conflict as refused:
            seen[refused.code] += 1
        ledger = expected
        rows = held(database)
        assert [(number, use) for number, _, use in rows if use != "free"] == sorted(
            (slot.number, slot.use) for slot in ledger.taken
        ), f"{deed} {name}"
        assert {id for _, id, _ in rows if id} == {slot.package for slot in ledger.taken}
        assert not rows or len(rows) == ledger.allowance
        with database.read() as session:
            assert slots.attempts_left(session, rules, *PLACE) == ledger.attempts
    assert {"SUB-03", "SUB-05", "no start", "no release"} <= set(seen), seen


def test_of_fifty_threads_one_takes_the_last_slot(
    database: Database, url: str, handed_in: MakeSubmission, rules: Rules
) -> None:
    several = [database, *(Database(url) for _ in range(4))]  # as of several processes, which line up by the engine
    for number in range(rules.submissions - 1):
        early = handed_in(f"early-{number}")
        with database.write() as session:
            slots.reserve(session, rules, session.get_one(Submission, early))
    racers = [handed_in(f"late-{number}") for number in range(50)]
    outcomes, start = list[str](), threading.Barrier(50)

    def race(number: int, name: str) -> None:
        start.wait()
        try:
            with several[number % len(several)].write() as session:
                slots.reserve(session, rules, session.get_one(Submission, name))
            outcomes.append("taken")
        except Refused as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=race, args=each) for each in enumerate(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(outcomes) == {"taken": 1, "SUB-03": 49}
    assert len({id for _, id, _ in held(database)} & set(racers)) == 1
    for other in several[1:]:
        other.close()


def test_a_refusal_names_what_holds_the_slots(database: Database, handed_in: MakeSubmission, rules: Rules) -> None:
    for number in range(rules.submissions):
        early = handed_in(f"early-{number}", "queued")
        with database.write() as session:
            slots.reserve(session, rules, session.get_one(Submission, early))
    late = handed_in("late")
    with pytest.raises(Conflict, match="withdraw one") as refused, database.write() as session:
        slots.reserve(session, rules, session.get_one(Submission, late))
    assert refused.value.why == "1: early-0 queued, 2: early-1 queued, 3: early-2 queued"
    with database.write() as session:
        for number in range(rules.submissions):
            slots.start(session, session.get_one(Submission, f"early-{number}"))
    with pytest.raises(Conflict, match="next phase"), database.write() as session:
        slots.reserve(session, rules, session.get_one(Submission, "late"))


def test_the_checkers_refusal_frees_a_slot_that_is_not_spent(
    database: Database, handed_in: MakeSubmission, rules: Rules
) -> None:
    handed_in("one")
    with database.write() as session:
        one = session.get_one(Submission, "one")
        slots.reserve(session, rules, one)
        assert slots.release(session, one, "refusal") and not slots.release(session, one, "refusal")
        slots.reserve(session, rules, one)
        slots.start(session, one)
        assert not slots.release(session, one, "refusal")
    assert held(database)[0] == (1, "one", "spent")


def test_a_slot_is_granted_with_a_reason(database: Database, team: str, rules: Rules) -> None:
    with pytest.raises(Refused), database.write() as session:
        slots.grant(session, SYSTEM, rules, *PLACE, " ", 1)
    with database.write() as session:
        assert slots.grant(session, SYSTEM, rules, *PLACE, "a cut cable", 1) == rules.submissions + 1
        assert session.query(Slot).count() == rules.submissions + 1
