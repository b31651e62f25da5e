"""A stage from its step's settings: passes, intervals, and what may be shared out."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile, BadOption
from edgelm.plugins import parse
from edgelm.train.base import Work
from edgelm.train.pretrain import Pretrain
from edgelm.train.stage import common, corpus, here_of, trained


@pytest.fixture
def work(begun, trained, suite):
    return Work(begun, DataFolder(suite), tuple(parse("train", spec) for spec in trained.card.recipe))


def test_passes_and_intervals_follow_from_the_batch(tiny):
    settings = common(Pretrain(), tiny.ALONE, 100, 65_536, 2048)
    assert (settings.rows, settings.micro, settings.save, settings.evaluate) == (32, 4, 5, 5)
    assert settings.dtype == torch.float32 and settings.compile is False
    settings = common(Pretrain(micro=4096, save=7, evaluate=9), tiny.ALONE, 100, 65_536, 2048)
    assert (settings.micro, settings.save, settings.evaluate) == (2, 7, 9)
    assert common(Pretrain(), tiny.ALONE, 3, 100, 2048).rows == 1  # less than a row
    assert common(Pretrain(micro=1), tiny.ALONE, 3, 8192, 2048).micro == 1
    assert common(Pretrain(precision="bf16", compile="yes"), tiny.ALONE, 3, 8192, 2048).dtype == torch.bfloat16


def test_on_a_gpu_products_are_bfloat16_and_layers_compiled(tiny):
    here = replace(tiny.ALONE, device=torch.device("cuda", 0))
    settings = common(Pretrain(), here, 100, 524_288, 2048)
    assert settings.dtype == torch.bfloat16 and settings.compile and settings.micro == 32
    assert common(Pretrain(precision="fp32"), here, 100, 524_288, 2048).dtype == torch.float32


def test_rows_that_cannot_be_shared_out_are_refused(tiny):
    here = replace(tiny.ALONE, size=3)
    with pytest.raises(BadOption, match="32 rows cannot be shared by 3 processes") as raised:
        common(Pretrain(batch=65_536), here, 100, 65_536, 2048)
    assert raised.value.mend == f"batch={33 * 2048}"
    assert common(Pretrain(), here, 100, 65_536, 2048).rows == 33  # where nobody has asked for a number
    assert common(Pretrain(), here, 100, 33 * 2048, 2048).micro == 4


def test_a_corpus_of_another_tokenizer_is_refused(work):
    assert corpus(work).documents > 100 and here_of(work).size == 1
    path = work.folder("tokenizer") / "tokenizer.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BadFile, match="made with another tokenizer") as raised:
        corpus(work)
    assert raised.value.exit_code == 2 and str(work.folder("corpus")) in raised.value.mend


def test_a_stage_that_has_left_nothing_is_said(work):
    step = work.step(Pretrain)
    done = {"step": "pretrain", "updates": 6}
    model, shape = trained(step, work, done)
    assert shape.vocab == 512 and model.num_parameters() == shape.parameters
    shutil.rmtree(work.folder("pretrain") / "states")
    with pytest.raises(BadFile, match="has lost the state after its last update, 6"):
        trained(step, work, done)
