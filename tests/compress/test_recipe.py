from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.cast import Cast
from edgelm.compress.depth import Depth
from edgelm.compress.recipe import agreed_dtype, plan
from edgelm.compress.width import Width
from edgelm.errors import BadOption, Unsupported
from edgelm.plugins import parse

MakeCheckpoint = Callable[..., Path]


def config_only(folder: Path, **changes: Any) -> Checkpoint:
    """Llama-3-8B's shape without its weights."""
    write_config(folder / "config.json", {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192,
        **changes,
    })  # fmt: skip
    return Checkpoint(folder)


def test_rows_of_a_published_shape(tmp_path: Path) -> None:
    rows = plan(config_only(tmp_path), [Depth(8), Depth(0), Width(14336), Width(8192)])
    assert [row.step for row in rows] == ["base", "depth:drop=8", "width:ffn=8192"]
    assert [row.parameters for row in rows] == [8_030_261_248, 6_285_365_248, 4_473_425_920]
    assert rows[-1].bytes == 2 * rows[-1].parameters
    assert (rows[-1].shape.layers, rows[-1].shape.ffn) == (24, 8192)


def test_a_later_step_sees_what_an_earlier_one_made(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="24 layers"):
        plan(config_only(tmp_path), [Depth(8), Depth(23)])


def test_bytes_follow_the_dtype(base: Checkpoint) -> None:
    for dtype, width in (("float16", 2), ("float32", 4), ("keep", 4)):
        rows = plan(base, [Depth(1)], dtype)  # type: ignore[arg-type]
        assert rows[0].bytes == base.bytes == 4 * base.parameters
        assert rows[1].bytes == width * rows[1].parameters


def test_tensors_that_nobody_needs_do_not_count(make_checkpoint: MakeCheckpoint, edit: Any) -> None:
    def add(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
        tensors["model.layers.0.attn.bias"] = torch.ones(1, 1, 256, 256, dtype=torch.bool)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    base = Checkpoint(make_checkpoint("llama", tied=True, dtype="float16"))
    whole = plan(base, [Depth(1)], "keep")
    more = edit(base, add)
    assert more.bytes > base.bytes == whole[0].bytes
    assert [row.bytes for row in plan(more, [Depth(1)], "keep")] == [row.bytes for row in whole]
    assert len(plan(more, [Cast("float16")])) == 1  # it changes nothing


def test_planning_needs_no_torch(make_checkpoint: MakeCheckpoint) -> None:
    code = """
import sys
from edgelm.checkpoint import Checkpoint
from edgelm.compress.recipe import plan
from edgelm.plugins import parse
assert len(plan(Checkpoint(sys.argv[1]), [parse("compress", s) for s in ("depth:drop=1", "width:ffn=64")])) == 3
assert not {"torch", "transformers"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, str(make_checkpoint("phi"))], check=True)


def test_specs() -> None:
    assert parse("compress", "width:ffn=8192,score=act,update=none") == Width(8192, "act", "none")
    with pytest.raises(BadOption, match="score=magnitude"):
        parse("compress", "depth:drop=1,score=magnitude")
    with pytest.raises(BadOption, match="needs heads"):
        parse("compress", "kv")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model_type": "mamba"}, "'mamba' cannot be compressed"),
        ({"model_type": "bloom"}, "'bloom' cannot be compressed"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
    ],
)
def test_what_cannot_be_cut_is_refused(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        plan(config_only(tmp_path, **changes), [Depth(1)])


def test_weights_that_are_not_stock_are_refused(make_checkpoint: MakeCheckpoint, edit: Any) -> None:
    def narrow_one(tensors: dict[str, torch.Tensor]) -> None:
        name = "model.layers.2.mlp.up_proj.weight"
        tensors[name] = tensors[name][:64].clone()

    with pytest.raises(Unsupported) as caught:
        plan(edit(Checkpoint(make_checkpoint("llama")), narrow_one), [Depth(1)])
    assert "model.layers.2.mlp.up_proj.weight is (64, 64)" in caught.value.why

    def add_one(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.0.adapter.weight"] = torch.zeros(2)

    with pytest.raises(Unsupported) as caught:
        plan(edit(Checkpoint(make_checkpoint("llama")), add_one), [Depth(1)])
    assert "foreign" in caught.value.why


def test_stored_integers_are_refused(make_checkpoint: MakeCheckpoint, edit: Any) -> None:
    def quantise(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.0.mlp.up_proj.weight"] = torch.zeros(128, 64, dtype=torch.int8)

    def quantise_all(tensors: dict[str, torch.Tensor]) -> None:
        tensors |= {name: tensor.char() for name, tensor in tensors.items()}

    for spoil in (quantise, quantise_all):
        base = edit(Checkpoint(make_checkpoint("llama")), spoil)
        with pytest.raises(Unsupported, match="stores I8"):
            plan(base, [])
        with pytest.raises(Unsupported, match="stores I8"):
            agreed_dtype(base, [Cast("float16")], "keep")


def test_several_dtypes_cannot_be_kept(make_checkpoint: MakeCheckpoint, edit: Any) -> None:
    def halve(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"] = tensors["model.norm.weight"].half()

    base = edit(Checkpoint(make_checkpoint("llama")), halve)
    with pytest.raises(Unsupported, match="F32, F16"):
        plan(base, [], "keep")
    assert plan(base, [], "float16")
