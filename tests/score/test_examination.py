from fractions import Fraction

import pytest
from pydantic import ValidationError

from edgelm.errors import BadOption
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.examination import Examination, TaskTwice, shortcomings

RULES = Neurips2024()
GOOD = {
    "pinned": "a" * 64, "received": "a" * 64, "agreement": Fraction(99, 100), "self_agreement": Fraction(99, 100),
    "tasks": {"gsm8k": TaskTwice(before=50, after=49)}, "throughput": (Fraction(100), Fraction(98)),
    "peaks": {"phi-2": RULES.memory_limit - 1}, "runs_on_phone": True,
}  # fmt: skip


EMPTY = {"pinned": "a", "received": "a", "agreement": 0, "self_agreement": 0, "tasks": {}, "throughput": (0, 0),
         "peaks": {}, "runs_on_phone": True}  # fmt: skip


def found(**seen):
    return shortcomings(RULES, Examination(**seen), tasks=("gsm8k",), slots=("phi-2",))


def test_an_examination_that_found_nothing_is_not_passed():
    assert found(**EMPTY) == ("gsm8k: it was not scored again", "memory: phi-2 was not measured")
    with pytest.raises(ValidationError):
        found(**EMPTY | {"pinned": "", "received": ""})
    for nothing in ({"tasks": (), "slots": ("phi-2",)}, {"tasks": ("gsm8k",), "slots": ()}):
        with pytest.raises(BadOption, match="examination of nothing"):
            shortcomings(RULES, Examination(**GOOD), **nothing)


def test_who_meets_every_condition_passes():
    assert found(**GOOD) == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"received": "b" * 64}, "checkpoint: bbbbbbbbbbbb… was received"),
     ({"agreement": Fraction(98, 100)}, "agreement: 98.00 % of tokens, recorded were 99.00 %"),
     ({"tasks": {"gsm8k": TaskTwice(before=50, after="97/2")}}, "gsm8k: 48.50 after 50.00, below the tolerance"),
     ({"tasks": {"gsm8k": TaskTwice(before=50, after=None)}}, "gsm8k: the rebuilt checkpoint has no score"),
     ({"throughput": (Fraction(100), Fraction(9799, 100))}, "throughput: 97.99 after 100.00 tokens/s"),
     ({"throughput": (Fraction(100), None)}, "throughput: none after"),
     ({"peaks": {"phi-2": RULES.memory_limit}}, "memory: phi-2 peaks at 12,884,901,888 bytes"),
     ({"runs_on_phone": False}, "bundle: it does not run")],
)  # fmt: skip
def test_every_condition_that_is_not_met_is_said(changed, said):
    [only] = found(**GOOD | changed)
    assert only.startswith(said)
