from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.devices import loading
from edgelm.errors import BadOption, Unsupported

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


def test_another_dtype_than_stored_is_noted_and_loaded(make_checkpoint: Make) -> None:
    checkpoint = Checkpoint(make_checkpoint("llama"))
    settled = loading.plan(checkpoint, "cpu", "bfloat16")
    assert settled.notes == ("stored in float32, computed in bfloat16 as asked",)
    assert loading.load(checkpoint, settled).dtype == torch.bfloat16


def test_cuda_without_a_gpu_is_refused(make_checkpoint: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadOption, match="no CUDA device"):
        loading.plan(Checkpoint(make_checkpoint("llama")), "cuda", "keep")
    assert loading.plan(Checkpoint(make_checkpoint("llama")), "auto", "keep").device.type == "cpu"


def test_a_checkpoint_without_tokenizer_or_with_a_strange_model_is_refused(make_checkpoint: Make) -> None:
    folder = make_checkpoint("llama")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(Unsupported, match="no tokenizer that can be loaded"):
        loading.tokenizer_of(Checkpoint(folder))("text")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"never-heard-of"'))
    with pytest.raises(Unsupported, match="stock transformers model"):
        loading.import_architecture(Checkpoint(folder))


@pytest.mark.parametrize(
    ("change", "counts"),
    [(("num_hidden_layers", 4, 5), "9 tensors missing, 0 of another shape; first model.layers.4."),
     (("intermediate_size", 128, 96), "0 tensors missing, 12 of another shape; first model.layers.0.mlp.")],
)  # fmt: skip
def test_weights_that_do_not_fit_the_configuration_are_refused(
    make_checkpoint: Make, change: tuple[str, int, int], counts: str
) -> None:
    folder = make_checkpoint("llama")
    key, before, after = change
    config = folder / "config.json"
    config.write_text(config.read_text().replace(f'"{key}": {before}', f'"{key}": {after}'))
    checkpoint = Checkpoint(folder)
    with pytest.raises(Unsupported, match=r"not those that its config\.json describes") as caught:
        loading.load(checkpoint, loading.plan(checkpoint, "cpu", "keep"))
    assert caught.value.why.startswith(counts)


def test_only_models_that_know_it_are_asked_for_the_last_logits_alone() -> None:
    class Old:
        def forward(self, input_ids: object) -> None: ...

    class New:
        def forward(self, input_ids: object, logits_to_keep: int = 0) -> None: ...

    assert loading.last_logits_only(Old()) == {}
    assert loading.last_logits_only(New()) == {"logits_to_keep": 1}
