import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.errors import BadOption, EdgelmError, Unsupported
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.slots import grant, opened, refuse, release, reserve, start

FRESH = opened(Neurips2024(), "red", "compression", "scored")


def reserved(*packages):
    ledger = FRESH
    for package in packages:
        ledger = reserve(ledger, package)
    return ledger


def test_three_slots_and_one_given_back():  # G-23
    full = reserved("a", "b", "c")
    with pytest.raises(Unsupported, match="all 3 slots of red are in use"):
        reserve(full, "d")
    again = reserve(release(full, "b", "withdrawal"), "d")
    assert [(slot.number, slot.package) for slot in again.taken] == [(1, "a"), (3, "c"), (2, "d")]
    with pytest.raises(Unsupported, match="in use"):
        reserve(again, "e")


@pytest.mark.parametrize(
    ("cause", "before", "after"),
    [("withdrawal", True, False), ("platform-fault", True, True), ("cancellation", True, True),
     ("crash", False, False), ("out-of-memory", False, False), ("time-limit", False, False),
     ("disqualification", False, False)],
)  # fmt: skip
def test_what_gives_a_slot_back_before_and_after_the_start(cause, before, after):
    for ledger, freed in ((reserved("a"), before), (start(reserved("a"), "a"), after)):
        if freed:
            assert release(ledger, "a", cause).taken == ()
        else:
            with pytest.raises(Unsupported, match=f"stays {ledger.taken[0].use}"):
                release(ledger, "a", cause)


def test_a_package_counts_as_an_attempt_and_comes_once():
    ledger = refuse(reserved("a"))
    assert (ledger.attempts, len(ledger.taken)) == (18, 1)
    with pytest.raises(Unsupported, match="accepted before\nmend: change the package and pack it again"):
        reserve(release(ledger, "a", "withdrawal"), "a")
    spent = FRESH.model_copy(update={"attempts": 0})
    for step in (refuse, lambda it: reserve(it, "z")):
        with pytest.raises(Unsupported, match="no attempt left"):
            step(spent)


def test_a_slot_is_granted_with_a_reason_and_logged():
    ledger = grant(reserved("a", "b", "c"), "the server was down")
    assert [slot.number for slot in reserve(ledger, "d").taken] == [1, 2, 3, 4]
    assert ledger.log == ("slot 4 granted: the server was down",)
    with pytest.raises(BadOption, match="no reason"):
        grant(ledger, " ")


def test_an_evaluation_starts_once_and_needs_a_slot():
    with pytest.raises(Unsupported, match="started before"):
        start(start(reserved("a"), "a"), "a")
    with pytest.raises(Unsupported, match="has no slot"):
        start(FRESH, "a")


steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "start", "release", "fault", "grant", "refuse"]), st.integers(0, 7)),
    max_size=40,
)


@settings(max_examples=1000, deadline=None)
@given(steps)
def test_random_steps_never_exceed_the_allowance_nor_lose_a_slot(drawn):  # property 16
    ledger = FRESH
    for step, number in drawn:
        package, before = f"p{number}", ledger
        try:
            ledger = {
                "reserve": lambda it, name: reserve(it, name), "start": lambda it, name: start(it, name),
                "release": lambda it, name: release(it, name, "withdrawal"), "refuse": lambda it, name: refuse(it),
                "fault": lambda it, name: release(it, name, "platform-fault"), "grant": lambda it, name: grant(it, "x"),
            }[step](ledger, package)  # fmt: skip
        except EdgelmError:
            assert ledger is before
        numbers = [slot.number for slot in ledger.taken]
        assert sorted([*numbers, *ledger.free]) == list(range(1, ledger.allowance + 1))
        assert len(set(ledger.keys)) == len(ledger.taken)
        assert ledger.attempts >= 0
        assert {slot.package for slot in ledger.taken} <= {*ledger.accepted}
