import pytest

from edgelm.errors import Unsupported
from edgelm.score.states import STATES, require_move, shows_holdouts, takes_decisions


def test_each_state_leads_to_the_next_alone():
    allowed = set()
    for state in STATES:
        for to in STATES:
            try:
                require_move(state, to)
                allowed.add((state, to))
            except Unsupported as refusal:
                assert f"{state} cannot become {to}" in str(refusal)
    assert allowed == {("draft", "live"), ("live", "frozen"), ("frozen", "provisional"), ("provisional", "final")}


@pytest.mark.parametrize(
    ("state", "holdouts", "decisions"),
    [("draft", False, False), ("live", False, True), ("frozen", False, True), ("provisional", True, True),
     ("final", True, False)],
)  # fmt: skip
def test_what_a_state_shows_and_takes(state, holdouts, decisions):
    assert (shows_holdouts(state), takes_decisions(state)) == (holdouts, decisions)
