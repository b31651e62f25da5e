"""GPT-2: other names, matrices the other way round, learned positions, and heads that cannot be cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress, Step
from edgelm.compress.cast import Cast
from edgelm.compress.config import portable
from edgelm.compress.depth import Depth
from edgelm.compress.heal import Heal
from edgelm.compress.kv import Kv
from edgelm.compress.recipe import plan
from edgelm.compress.run import compress
from edgelm.compress.search.candidates import Space
from edgelm.compress.stream.imported import imported
from edgelm.compress.stream.model import Model
from edgelm.compress.stream.network import network_of, put_network
from edgelm.compress.vocab import Vocab
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource
from edgelm.deploy.accepts import exports
from edgelm.errors import Unsupported
from edgelm.stock import load_model

SMALL: Any = {"tokens": 600, "sequence": 48}
DEAD = torch.arange(3, 128, 4)  # 32 of 128
MakeCheckpoint = Callable[..., Path]


@pytest.fixture
def base(make_checkpoint: MakeCheckpoint) -> Checkpoint:
    return Checkpoint(make_checkpoint("gpt2"))


def stored(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return load_file(checkpoint.weight_files[0])


def test_layer_by_layer_is_the_forward_pass(
    make_checkpoint: MakeCheckpoint, batches: list[list[int]], logits: Any
) -> None:
    for tied in (True, False):
        base = Checkpoint(make_checkpoint("gpt2", tied=tied))
        with torch.no_grad():
            expected = load_model(base, torch.float32)(torch.tensor(batches[:1])).logits[0]
        assert torch.allclose(logits(Model.of(base), batches[0]), expected, atol=1e-5)
        network = network_of(Model.of(base))
        assert (network.lm_head.weight is network.transformer.wte.weight) == tied == base.shape.tied
        with torch.no_grad():
            assert torch.equal(network(torch.tensor(batches[:1])).logits[0], expected)


def test_files_without_the_head_are_taken(base: Checkpoint, texts: list[TextSource], tmp_path: Path) -> None:
    """The published files hold the inner model alone, with the masks of old versions."""
    kept = stored(base)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in kept.items()}
    bare["h.0.attn.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    save_file(bare, base.weight_files[0])
    result = compress(Checkpoint(base.path), [Depth(0)], tmp_path / "out", texts=texts, dtype="keep", **SMALL)
    made = stored(result)
    assert made.keys() == kept.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in kept.items())
    changed = {key for key, value in base.config.items() if result.config[key] != value}
    assert changed <= {"dtype", "torch_dtype"}
    assert result.config["n_ctx"] == base.config["n_positions"]


def test_written_as_planned(make_checkpoint: MakeCheckpoint, texts: list[TextSource], tmp_path: Path) -> None:
    base = Checkpoint(make_checkpoint("gpt2", vocab_size=384))
    recipe: list[Step] = [Vocab(keep=320), Depth(1), Width(96)]
    result = compress(base, recipe, tmp_path / "out", texts=texts, dtype="float32", **SMALL)
    planned = plan(base, recipe, "float32")[-1]
    assert result.shape.vocab == 320
    assert (result.config["n_layer"], result.config["n_inner"], result.config["n_embd"]) == (3, 96, 64)
    assert not {"num_hidden_layers", "intermediate_size", "rope_theta", "head_dim"} & result.config.keys()
    assert result.config.keys() == portable(planned.config, "float32").keys()
    assert {name: tensor.shape for name, tensor in result.tensors.items()} == planned.shape.tensors
    assert (result.parameters, result.bytes) == (planned.parameters, planned.bytes)
    network, info = AutoModelForCausalLM.from_pretrained(result.path, output_loading_info=True)
    assert type(network).__name__ == "GPT2LMHeadModel"
    assert not info["missing_keys"] | info["unexpected_keys"]


def test_a_cast_takes_it(base: Checkpoint, texts: list[TextSource], tmp_path: Path) -> None:
    made = stored(compress(base, [Cast("float16")], tmp_path / "out", texts=texts, **SMALL))
    assert made.keys() == stored(base).keys()
    assert all(torch.equal(made[name], tensor.half()) for name, tensor in stored(base).items())


def test_an_inert_layer_goes_first(
    base: Checkpoint, edit: Any, opened: Any, logits: Any, batches: list[list[int]], silent: Progress
) -> None:
    def silence(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if name.startswith("transformer.h.2.") and ".c_proj." in name:
                tensor.zero_()

    model = opened(edit(base, silence))
    before = logits(model, batches[0])
    assert Depth(1).apply(model, batches, silent)["dropped"] == [2]
    assert torch.allclose(logits(model, batches[0]), before, atol=1e-5)


@pytest.mark.parametrize("update", ["ls", "none"])
def test_dead_channels_go_first(
    base: Checkpoint, edit: Any, opened: Any, logits: Any, batches: list[list[int]], silent: Progress, update: Any
) -> None:
    def kill(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if ".c_fc." in name:
                tensor[..., DEAD] = 0 if tensor.ndim == 2 else -100

    model = opened(edit(base, kill))
    before = logits(model, batches[0])
    Width(96, score="wact", update=update).apply(model, batches, silent)
    assert model.layer_tensors(1)["mlp.c_proj.weight"].shape == (64, 96)
    assert model.piece("transformer.h.1.mlp.c_proj.weight").shape == (96, 64)
    assert torch.allclose(logits(model, batches[0]), before, atol=1e-4)


def test_refitting_lowers_the_error(base: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress) -> None:
    refitted, plain = (Width(64, update=update).apply(opened(base), batches, silent)["ffn"]["error"][0]
                       for update in ("ls", "none"))  # fmt: skip
    assert refitted < 0.9 * plain


@pytest.mark.parametrize("method", ["block", "lora", "full"])
def test_healing(
    base: Checkpoint, opened: Any, batches: list[list[int]], silent: Progress, logits: Any, method: Any
) -> None:
    model = opened(base)
    model.base = Model.of(base)
    Width(64, update="none").apply(model, batches, silent)
    wanted = logits(model.base, batches[0])
    before = float((logits(model, batches[0]) - wanted).square().mean())
    Heal(3000, method, rank=8, lr=3e-3, batch=2).apply(model, batches, silent)
    assert float((logits(model, batches[0]) - wanted).square().mean()) < 0.9 * before


def test_only_what_changed_is_put(base: Checkpoint, opened: Any, logits: Any, batches: list[list[int]]) -> None:
    model = opened(base)
    before, network = dict(model.pieces), network_of(model)
    changed = {"transformer.h.1.attn.c_attn.weight", "transformer.h.3.ln_1.bias", "transformer.wpe.weight"}
    with torch.no_grad():
        for name in changed:
            network.get_parameter(name).mul_(1.5)
        put_network(model, network)
        expected = network(torch.tensor(batches[:1])).logits[0]
    assert {name for name, piece in model.pieces.items() if piece is not before[name]} == changed
    assert torch.allclose(logits(model, batches[0]), expected, atol=1e-5)


@pytest.mark.parametrize("step", [Width(hidden=32), Width(heads=2), Width(hidden=32, heads=2), Kv(2), Kv(2, "mean")])
def test_what_its_class_cannot_be_is_refused(base: Checkpoint, step: Step) -> None:
    with pytest.raises(Unsupported, match="of a gpt2 model cannot be changed") as caught:
        plan(base, [step])
    assert "width / heads wide" in caught.value.why


def test_the_search_leaves_its_heads_alone(base: Checkpoint) -> None:
    choices = Space.of(imported(base).config).choices
    assert choices["kv_heads"] == [4]
    assert len(choices["ffn"]) > 1
    assert len(choices["layers"]) > 1


def test_layers_that_know_their_number_stay(make_checkpoint: MakeCheckpoint) -> None:
    base = Checkpoint(make_checkpoint("gpt2", scale_attn_by_inverse_layer_idx=True))
    with pytest.raises(Unsupported, match="layers cannot be dropped"):
        plan(base, [Depth(1)])
    assert plan(base, [Width(96)])[-1].shape.ffn == 96


def test_the_real_configuration_is_planned(shared: Path, tmp_path: Path) -> None:
    config = json.loads((shared / "data/tokenizers/gpt2/config.json").read_bytes())
    del config["quantization_config"]  # the hub's copy is that of a quantised model
    (tmp_path / "config.json").write_text(json.dumps(config))
    rows = plan(Checkpoint(tmp_path), [Depth(2), Width(2048)])
    assert rows[0].parameters == 124_439_808
    assert rows[1].parameters == 124_439_808 - 2 * 7_087_872
    assert exports(rows[1].shape, trimmed=False).script == ""
    assert "4·width" in exports(rows[2].shape, trimmed=False).script
    for way in (exports(rows[2].shape, trimmed=False), exports(rows[0].shape, trimmed=True)):
        assert "does not write a gpt2" in way.runtime
        assert way.mlc
        assert way.script
