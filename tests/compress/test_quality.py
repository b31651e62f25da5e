from __future__ import annotations

import pytest
import torch

from edgelm.compress.model import Decoder
from edgelm.compress.quality import Reference


def test_unchanged_model_has_no_divergence(decoder: Decoder, batches: list[list[int]]) -> None:
    quality = Reference.of(decoder, batches).compare(decoder)
    assert quality["kl"] == 0
    assert quality["perplexity"] == quality["perplexity_base"]
    assert quality["tokens"] == sum(len(tokens) - 1 for tokens in batches)


def test_against_whole_logits(decoder: Decoder, batches: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces of 7 rows as from all logits at once, before and after a layer is lost."""
    monkeypatch.setattr("edgelm.compress.quality._ROWS", 7)
    reference = Reference.of(decoder, batches)

    def all_logits() -> list[torch.Tensor]:
        return [
            decoder.network(torch.tensor([tokens]), use_cache=False).logits[0, :-1].double().log_softmax(-1)
            for tokens in batches
        ]

    before = all_logits()
    decoder.keep_layers([0, 1, 3])
    after = all_logits()
    quality = reference.compare(decoder)
    targets = torch.cat([torch.tensor(tokens[1:]) for tokens in batches])
    for key, rows in (("perplexity_base", before), ("perplexity", after)):
        expected = torch.nn.functional.nll_loss(torch.cat(rows), targets).exp().item()
        assert quality[key] == pytest.approx(expected, rel=1e-5)
    kl = torch.nn.functional.kl_div(torch.cat(after), torch.cat(before), log_target=True, reduction="batchmean").item()
    assert quality["kl"] == pytest.approx(kl, rel=1e-4)
    assert kl > 0.01
