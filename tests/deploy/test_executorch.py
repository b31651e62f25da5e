"""A program of ExecuTorch answers as transformers does, by its own runtime; where the package is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.deploy.executorch import ExecuTorch
from edgelm.deploy.executorch_graph import Decoder
from edgelm.errors import BadOption, Unsupported
from edgelm.stock import load_model

PROMPT, MADE = [1, 50, 60, 70, 80], 12


def greedy(checkpoint: Checkpoint) -> list[int]:
    model = load_model(checkpoint, torch.float32, "cpu")
    made = model.generate(torch.tensor([PROMPT]), max_new_tokens=MADE, do_sample=False, eos_token_id=None)
    return list(made[0, len(PROMPT) :].tolist())


def answered(read: Any) -> list[int]:
    made, given, at = [], PROMPT, 0
    for _ in range(MADE):
        logits = read(torch.tensor([given]), torch.arange(at, at + len(given)))
        at += len(given)
        given = [int(logits[0, -1].argmax())]
        made += given
    return made


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "phi"])
@torch.no_grad()
def test_the_traced_model_answers_as_the_stock_one(make_checkpoint: Any, family: str) -> None:
    checkpoint = Checkpoint(make_checkpoint(family))
    decoder = Decoder(load_model(checkpoint, torch.float32, "cpu"), 32)
    assert answered(decoder) == greedy(checkpoint)
    assert answered(decoder) == greedy(checkpoint)  # what was kept of the first answer is not seen


def test_the_program_answers_as_transformers(make_checkpoint: Any, tmp_path: Path) -> None:
    pytest.importorskip("executorch", reason="the extra `executorch` is not installed")
    from executorch.runtime import Runtime

    checkpoint = Checkpoint(make_checkpoint("llama", num_hidden_layers=1))
    deploy(checkpoint, ExecuTorch(context=32), tmp_path / "bundle")
    method = Runtime.get().load_program(tmp_path / "bundle" / "model.pte").load_method("forward")
    assert answered(lambda ids, places: method.execute((ids, places))[0]) == greedy(checkpoint)


def test_what_cannot_be_is_refused(make_checkpoint: Any, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="context=2 is too small"):
        ExecuTorch(context=2)
    pytest.importorskip("executorch", reason="the extra `executorch` is not installed")
    with pytest.raises(Unsupported, match="more than the model's"):
        deploy(Checkpoint(make_checkpoint("llama")), ExecuTorch(context=10**6), tmp_path / "bundle")
