import pytest

from edgelm.errors import BadOption
from edgelm.score.difference import difference
from edgelm.score.standings import standings

FIELD = {"A": [(5, 5, 5)], "B": [(4, 6, 4)], "C": [(1, 1, 1)]}


def test_a_revision_says_what_it_changed(rules, track, entries):
    made = entries(FIELD)
    out = [made[0].model_copy(update={"reasons": ("copying",)}), *made[1:]]
    before, after = standings(rules, track, made), standings(rules, track, out, void=["first"], revision=2)
    change = difference(before, after)
    assert (change.revisions, change.maximum) == ((1, 2), (40, 30))
    assert (change.voided, change.lifted, change.put_out, change.back_in) == (("first",), (), ("A1",), ())
    ranks = {each.team: (each.before and each.before.rank, each.after and each.after.rank) for each in change.changes}
    assert ranks == {"A": (1, None), "B": (2, 1), "C": (3, 2)}
    back = difference(after, before)
    assert (back.voided, back.lifted, back.put_out, back.back_in) == ((), ("first",), (), ("A1",))


def test_equal_standings_differ_in_nothing(rules, track, entries):
    standing = standings(rules, track, entries(FIELD))
    assert difference(standing, standing).changes == ()


def test_two_tracks_are_not_compared(rules, track, entries):
    standing = standings(rules, track, entries(FIELD))
    with pytest.raises(BadOption, match="two tracks"):
        difference(standing, standing.model_copy(update={"track": "other"}))
