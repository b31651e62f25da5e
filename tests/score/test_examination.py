from fractions import Fraction

import pytest

from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.examination import Examination, TaskTwice, shortcomings

RULES = Neurips2024()
GOOD = {
    "pinned": "a" * 64, "received": "a" * 64, "agreement": Fraction(99, 100), "self_agreement": Fraction(99, 100),
    "tasks": {"gsm8k": TaskTwice(before=50, after=49)}, "throughput": (Fraction(100), Fraction(98)),
    "peaks": {"phi-2": RULES.memory_limit - 1}, "runs_on_phone": True,
}  # fmt: skip


def test_who_meets_every_condition_passes():
    assert shortcomings(RULES, Examination(**GOOD)) == ()


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
    [found] = shortcomings(RULES, Examination(**GOOD | changed))
    assert found.startswith(said)
