"""The options of fine-tuning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgelm.errors import BadOption
from edgelm.plugins import parse, spec_of
from edgelm.train.sft import Sft


@pytest.mark.parametrize(
    "option",
    ["epochs=0", "rate=0", "batch=0", "context=-1", "micro=0", "save=0", "evaluate=0", "drills=1", "drills=-0.1"],
)
def test_settings_that_cannot_be_are_named(option):
    with pytest.raises(BadOption, match=option) as raised:
        parse("train", f"sft:{option}")
    assert raised.value.exit_code == 2 and raised.value.mend


def test_every_option_can_be_given_in_a_spec():
    given = Sft(epochs=1.5, rate=0.5, batch=64, context=32, micro=32, warmup=0.5, clip=0.5, drills=0.5, average=False,
                seed=7, precision="bf16", compile="no", save=3, evaluate=4, tensorboard=True)  # fmt: skip
    assert all(getattr(given, field) != getattr(Sft(), field) for field in vars(given))
    assert parse("train", spec_of(given)) == given


def test_small_models_take_higher_rates():
    assert [Sft().peak(size) for size in (1_000_000, 125_000_000, 350_000_000)] == [2e-4, 1e-4, 5e-5]
    assert Sft(rate=0.5).peak(1_000_000_000) == 0.5


def test_only_what_leaves_the_weights_alone_may_change():
    assert replace(Sft(), save=2, evaluate=3, micro=64, tensorboard=True, compile="no").identity == Sft().identity
    assert all(replace(Sft(), **change).identity != Sft().identity
               for change in ({"epochs": 1.0}, {"drills": 0.1}, {"seed": 1}, {"rate": 1.0}))  # fmt: skip
