import pytest
from pydantic import ValidationError

from edgelm.errors import UnknownName
from edgelm.score.disqualification import Disqualification, disqualified, require_concerned
from edgelm.score.standings import standings

SIGNED = ("Ada", "Bo")
FIELD = {"A": [(5, 5, 5), (6, 6, 6)], "B": [(4, 4, 4)]}


def decision(team="A", **other):
    return Disqualification(
        **{"team": team, "reason": "copying", "evidence": "see file 7", "signatures": SIGNED} | other
    )


def test_a_team_is_out_with_all_its_submissions(rules, track, entries):
    made = entries(FIELD)
    out = standings(rules, track, disqualified(made, [decision()]))
    assert [row.team for row in out.board] == ["B"]
    assert [row.submission for row in out.ineligible] == ["A1", "A2"]
    assert out.ineligible[0].reasons == ("copying: see file 7 (signed Ada and Bo)",)


def test_one_submission_is_out_alone(rules, track, entries):
    made = entries(FIELD)
    out = standings(rules, track, disqualified(made, [decision(submission="A2", reason="dtype")]))
    assert [(row.team, row.submission) for row in out.board] == [("A", "A1"), ("B", "B1")]


def test_taking_it_back_leaves_no_trace(entries):
    made = entries(FIELD)
    assert disqualified(made, []) == made


@pytest.mark.parametrize(
    "wrong",
    [{"signatures": ("Ada",)}, {"signatures": ("Ada", "ada ")}, {"signatures": ("Ada", " ")},
     {"signatures": ("Ada", "Bo", "Cy")}, {"evidence": ""}, {"reason": "taste"}, {"reason": "dtype"},
     {"submission": "A1"}],
)  # fmt: skip
def test_a_record_is_typed_founded_and_signed_by_two(wrong):
    with pytest.raises(ValidationError):
        decision(**wrong)


def test_what_was_never_received_cannot_be_put_out(entries):
    made = entries(FIELD)
    require_concerned(made, [decision()])
    with pytest.raises(UnknownName, match="D"):
        require_concerned(made, [decision("D")])
