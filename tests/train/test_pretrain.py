"""The options of pretraining: what is possible, and what follows from a shape."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from edgelm.errors import BadOption, UnknownName
from edgelm.plugins import parse, spec_of
from edgelm.train.base import SHAPES, TUNINGS, with_qk_norm
from edgelm.train.pretrain import PER_PARAMETER, Pretrain


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ("pretrain:shape=huge", UnknownName, "no shape called 'huge'"),
        ("pretrain:steps=0", BadOption, "steps=0"), ("pretrain:tokens=-1", BadOption, "tokens=-1"),
        ("pretrain:context=512,shape=tiny", BadOption, "context=512 is more than the shape tiny has places for"),
        ("pretrain:warmup=2", BadOption, "warmup=2.0 is no share"), ("pretrain:decay=-0.1", BadOption, "no share"),
        ("pretrain:family=phi", BadOption, "family=phi"), ("pretrain:optimizer=sgd", BadOption, "optimizer=sgd"),
        ("pretrain:batch=0", BadOption, "batch=0"), ("pretrain:micro=0", BadOption, "micro=0"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_named(spec, error, said):
    with pytest.raises(error, match=said) as raised:
        parse("train", spec)
    assert raised.value.exit_code == 2 and raised.value.mend


def test_every_option_can_be_given_in_a_spec():
    given = Pretrain(
        shape="5M", family="qwen3", tokens=5, steps=6, batch=64, context=32, micro=32, loss="answers",
        optimizer="adamw", muon=0.5, adamw=0.25, warmup=0.5, decay=0.5, wd=0.5, clip=0.5, z=0.5, init=0.5, theta=5.0,
        seed=7, precision="bf16", compile="no", save=3, evaluate=4, tensorboard=True,
    )  # fmt: skip
    assert all(getattr(given, field) != getattr(Pretrain(), field) for field in vars(given))
    assert parse("train", spec_of(given)) == given


def test_a_shape_has_its_own_tuning_and_what_is_given_comes_first():
    assert Pretrain(shape="5M").tuning == TUNINGS["5M"]
    given = Pretrain(shape="5M", muon=1e-3, theta=0.5, batch=64)
    assert given.tuning == replace(TUNINGS["5M"], muon=1e-3, theta=0.5, batch=64)
    assert Pretrain(shape="5M", warmup=0.0).tuning.warmup == 0


def test_rows_are_as_long_as_said_or_as_the_shape_has_places():
    assert Pretrain(shape="5M").row == (TUNINGS["5M"].context or SHAPES["5M"].context)
    assert Pretrain(shape="5M", context=128).row == 128


def test_the_family_changes_the_shape_alone():
    assert Pretrain(shape="5M").dimensions == SHAPES["5M"]
    assert Pretrain(shape="5M", family="qwen3").dimensions == with_qk_norm(SHAPES["5M"])


def test_updates_cover_the_tokens_that_are_asked_for():
    assert Pretrain(shape="5M", steps=7).updates(1) == 7
    assert Pretrain(shape="5M", tokens=1001, batch=100).updates(1) == 11
    assert Pretrain(shape="5M", tokens=1000, batch=100).updates(1) == 10
    assert Pretrain(shape="5M", batch=1000).updates(4_000) == 4 * PER_PARAMETER
    assert Pretrain(shape="tiny").updates(1) == TUNINGS["tiny"].steps
    assert Pretrain(shape="tiny", tokens=4096).updates(1) == -(-4096 // TUNINGS["tiny"].batch)


def test_what_a_step_would_do_is_known_without_torch():
    program = (
        "import sys\nfrom edgelm.plugins import parse\n"
        "print(parse('train', 'pretrain:shape=5M').updates(10), parse('train', 'sft').peak(10))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("option", ["muon=-1", "adamw=0", "init=0", "theta=-5", "clip=0", "wd=-0.1", "z=-1"])
def test_impossible_numbers_are_refused_by_name(option):
    with pytest.raises(BadOption, match=f"{option.partition('=')[0]}=.* is not possible"):
        parse("train", f"pretrain:{option}")
