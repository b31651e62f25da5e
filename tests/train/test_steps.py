"""The steps of a run in their order."""

from __future__ import annotations

import pytest

from edgelm.errors import BadOption
from edgelm.train.corpus import Corpus
from edgelm.train.pretrain import Pretrain
from edgelm.train.sft import Sft
from edgelm.train.steps import complete, name_of
from edgelm.train.tokenizer import Tokenizer


def test_steps_left_out_have_their_defaults_but_fine_tuning():
    assert complete([]) == (Tokenizer(vocab=1024), Corpus(), Pretrain())
    assert complete([Sft(drills=0.1), Pretrain(shape="5M")]) == (
        Tokenizer(vocab=8192), Corpus(), Pretrain(shape="5M"), Sft(drills=0.1),
    )  # fmt: skip


def test_a_vocabulary_that_is_said_is_kept():
    assert complete([Tokenizer(vocab=512), Pretrain(shape="5M")])[0] == Tokenizer(vocab=512)


def test_a_step_that_comes_twice_is_refused():
    with pytest.raises(BadOption, match="'pretrain' comes 2 times"):
        complete([Pretrain(), Corpus(), Pretrain(seed=1)])


def test_a_step_is_called_as_its_file():
    assert [name_of(step) for step in complete([Sft()])] == ["tokenizer", "corpus", "pretrain", "sft"]
