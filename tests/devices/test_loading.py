import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.devices import loading
from edgelm.errors import BadFile, BadOption

Make = Callable[..., Path]


def test_half_weights_are_widened_only_where_the_processor_cannot_compute_them(
    make_checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint(make_checkpoint("llama", dtype="float16"))
    monkeypatch.setattr(loading, "computes_natively", lambda _: False)
    widened = loading.plan(checkpoint, "cpu", "keep")
    assert (widened.dtype, widened.bytes, widened.stored_bytes) == ("float32", 4, 2)
    assert widened.notes == ("stored in float16, computed in float32: this processor has no float16 arithmetic",)
    asked = loading.plan(checkpoint, "cpu", "float16")
    assert (asked.dtype, asked.notes) == ("float16", ())
    monkeypatch.setattr(loading, "computes_natively", lambda _: True)
    kept = loading.plan(checkpoint, "cpu", "keep")
    assert (kept.dtype, kept.notes) == ("float16", ())


def test_another_dtype_than_stored_is_noted(make_checkpoint: Make) -> None:
    checkpoint = Checkpoint(make_checkpoint("llama"))
    settled = loading.plan(checkpoint, "cpu", "bfloat16")
    assert settled.notes == ("stored in float32, computed in bfloat16 as asked",)
    assert (settled.dtype, settled.bytes, settled.stored_bytes) == ("bfloat16", 2, 4)


def test_cuda_without_a_gpu_is_refused(make_checkpoint: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadOption, match="no CUDA device"):
        loading.plan(Checkpoint(make_checkpoint("llama")), "cuda", "keep")
    assert loading.plan(Checkpoint(make_checkpoint("llama")), "auto", "keep").device.type == "cpu"


def test_a_way_to_ids_that_does_not_truncate(make_checkpoint: Make) -> None:
    folder = make_checkpoint("llama")
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_bytes()) | {"model_max_length": 4}))
    assert len(loading.tokenizer_of(Checkpoint(folder))("1234567890")) == 10


def test_importing_the_code_makes_no_weight_and_names_what_is_wrong(make_checkpoint: Make) -> None:
    folder = make_checkpoint("llama")
    config = folder / "config.json"
    settings = json.loads(config.read_bytes())
    config.write_text(json.dumps(settings | {"hidden_size": 2**20, "intermediate_size": 2**22}))  # far above any memory
    loading.import_architecture(Checkpoint(folder))
    config.write_text(json.dumps(settings | {"hidden_act": "sharp"}))
    with pytest.raises(BadFile, match="the model of") as caught:
        loading.import_architecture(Checkpoint(folder))
    assert "sharp" in caught.value.why


def test_only_models_that_know_it_are_asked_for_the_last_logits_alone() -> None:
    class Old:
        def forward(self, input_ids: object) -> None: ...

    class New:
        def forward(self, input_ids: object, logits_to_keep: int = 0) -> None: ...

    assert loading.last_logits_only(Old()) == {}
    assert loading.last_logits_only(New()) == {"logits_to_keep": 1}
