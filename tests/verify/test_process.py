"""A model in a fresh process: refusals come back whole, a death is told, and nothing is left behind."""

from __future__ import annotations

import multiprocessing
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.engines.hf import HF
from edgelm.errors import BadOption, Unsupported
from edgelm.evaluate.workers import Job
from edgelm.verify.loaded import Loaded
from edgelm.verify.process import Remote, fresh


def test_what_the_engine_refuses_is_told_and_the_process_is_gone(make_checkpoint: Any) -> None:
    folder = make_checkpoint("llama", num_hidden_layers=1)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    (folder / "tokenizer.json").unlink()
    with fresh(Job.of(Checkpoint(folder), "chat", HF(device="cpu"))) as probe, pytest.raises(BadOption):
        probe.device()
    assert not multiprocessing.active_children()


def test_what_a_call_refuses_is_told_at_once_and_the_next_is_answered(make_checkpoint: Any) -> None:
    from safetensors.torch import load_file, save_file

    folder = make_checkpoint("llama", num_hidden_layers=1)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] *= float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with fresh(Job.of(Checkpoint(folder), "chat", HF(device="cpu")), patience=60) as probe:
        with pytest.raises(Unsupported, match="not finite"):
            probe.perplexity([1, 2, 3])
        assert probe.device() == "cpu"


@dataclass(frozen=True)
class Pipe:
    """The other end of a probe: gone, or silent."""

    silent: bool = False

    def send(self, value: Any) -> None:
        if not self.silent:
            raise BrokenPipeError

    def poll(self, seconds: float) -> bool:
        return False


def test_a_death_and_a_silence_are_told() -> None:
    with pytest.raises(Unsupported, match="died over 'perplexity'"):
        Remote(Pipe()).perplexity([1, 2])  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match="said nothing for 1 s"):
        Remote(Pipe(silent=True), patience=1).tokens("text")  # type: ignore[arg-type]


def test_an_engine_that_keeps_its_model_to_itself_cannot_be_timed() -> None:
    with pytest.raises(Unsupported, match="cannot be timed and asked in one process") as refused:
        Loaded(object())
    assert "--engine hf" in refused.value.mend


def test_a_loaded_model_does_what_measure_and_evaluate_do(tiny: Checkpoint) -> None:
    import math

    import torch

    from edgelm.report import Workload
    from edgelm.stock import load_model

    engine: HF = pickle.loads(pickle.dumps(HF(device="cpu")))
    with engine.open(tiny, "base") as session:
        probe = Loaded(session)
        ids = probe.tokens("The quick brown fox jumps over the lazy dog.")
        model = load_model(tiny, torch.float32)
        with torch.inference_mode():
            loss = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss.item()
        assert probe.perplexity(ids) == pytest.approx(math.exp(loss), rel=1e-4)
        repeat = probe.run(ids, Workload(prompt_tokens=len(ids), generated_tokens=5))
        assert repeat.is_valid(Workload(prompt_tokens=len(ids), generated_tokens=5), tiny.shape.vocab)
        assert probe.device() == "cpu"
