from __future__ import annotations

from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.quality import Reference
from edgelm.compress.stream.model import Model
from edgelm.stock import load_model


def quiet(done: int, total: int) -> None:
    """A progress nobody watches."""


def test_unchanged_model_has_no_divergence(model: Model, batches: list[list[int]]) -> None:
    quality = Reference.of(model, batches, quiet).compare(model, batches, None, quiet)
    assert quality["kl"] == 0
    assert quality["perplexity"] == quality["perplexity_base"]
    assert quality["tokens"] == sum(len(tokens) - 1 for tokens in batches)


def test_against_whole_logits(
    checkpoint: Checkpoint, model: Model, batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In pieces of 7 rows as from all logits at once, before and after a layer is lost."""
    monkeypatch.setattr("edgelm.compress.quality._ROWS", 7)
    monkeypatch.setattr("edgelm.compress.quality._BLOCK", 50)
    network = load_model(checkpoint, torch.float32)
    reference = Reference.of(model, batches, quiet)

    def all_logits() -> list[torch.Tensor]:
        with torch.no_grad():
            return [
                network(torch.tensor([tokens]), use_cache=False).logits[0, :-1].double().log_softmax(-1)
                for tokens in batches
            ]

    before = all_logits()
    model.keep_layers([0, 1, 3])
    del network.model.layers[2]
    after = all_logits()
    quality = reference.compare(model, batches, None, quiet)
    targets = torch.cat([torch.tensor(tokens[1:]) for tokens in batches])
    for key, rows in (("perplexity_base", before), ("perplexity", after)):
        expected = torch.nn.functional.nll_loss(torch.cat(rows), targets).exp().item()
        assert quality[key] == pytest.approx(expected, rel=1e-5)
    kl = torch.nn.functional.kl_div(torch.cat(after), torch.cat(before), log_target=True, reduction="batchmean").item()
    assert quality["kl"] == pytest.approx(kl, rel=1e-4)
    assert kl > 0.01


def test_tokens_that_were_left_out_are_left_out_of_the_base_too(
    checkpoint: Checkpoint, opened: Any, batches: list[list[int]]
) -> None:
    """The base predicts over the tokens that stay: nothing but their number has changed, so nothing diverges."""
    kept = sorted({token for tokens in batches for token in tokens} | set(range(0, 250, 3)))
    place = {token: number for number, token in enumerate(kept)}
    base, trimmed = opened(checkpoint), opened(checkpoint)
    trimmed.keep_rows(kept)
    renamed = [[place[token] for token in tokens] for tokens in batches]
    quality = Reference.of(base, batches, quiet).compare(trimmed, renamed, kept, quiet)
    assert quality["kl"] == pytest.approx(0, abs=1e-9)
    assert quality["perplexity"] == pytest.approx(quality["perplexity_base"], rel=1e-6)
