from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Progress
from edgelm.compress.cast import Cast
from edgelm.compress.config import portable
from edgelm.compress.depth import Depth
from edgelm.compress.recipe import agreed_dtype, plan, stored_dtype, taken
from edgelm.compress.run import compress
from edgelm.compress.stream.model import Model
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource
from edgelm.errors import BadFile, BadOption, Unsupported
from edgelm.plugins import parse, spec_of

SMALL: Any = {"tokens": 600, "sequence": 48}
MakeCheckpoint = Callable[..., Path]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(("stored", "wanted"), [
    ("float32", "float16"), ("bfloat16", "float16"), ("bfloat16", "float32"), ("float16", "float32"),
])  # fmt: skip
def test_all_is_rounded(
    make_checkpoint: MakeCheckpoint, opened: Any, silent: Progress, family: str, stored: str, wanted: Any
) -> None:
    model = opened(Checkpoint(make_checkpoint(family, dtype=stored)))
    before = {name: model.outer(name) for name in model.names}
    record = Cast(wanted).apply(model, [], silent)
    assert (record["dtype"], record["tensors"]) == (wanted, len(before))
    assert record["warnings"] == []
    assert record["largest"] == max(float(tensor.abs().max()) for tensor in before.values())
    for name, tensor in before.items():
        assert torch.equal(model.outer(name), tensor.to(getattr(torch, wanted)))
    assert Cast(wanted).idle(model.config)


@pytest.mark.parametrize("family", ["qwen2"])
def test_what_is_stored_so_stays_where_it_lies(
    make_checkpoint: MakeCheckpoint, opened: Any, batches: list[list[int]], silent: Progress, family: str
) -> None:
    model = opened(Checkpoint(make_checkpoint(family, dtype="float16")))
    Width(96).apply(model, batches, silent)  # leaves what it computes in float32
    before = dict(model.pieces)
    changed = {name for name, piece in before.items() if piece.dtype == torch.float32}
    assert 0 < len(changed) < len(before)
    assert Cast("float16").apply(model, batches, silent)["tensors"] == len(changed)
    assert {name for name, piece in model.pieces.items() if piece is not before[name]} == changed


@pytest.mark.parametrize("family", ["llama"])
def test_flushed_weights_are_told(checkpoint: Checkpoint, opened: Any, edit: Any, silent: Progress) -> None:
    def shrink(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.1.mlp.up_proj.weight"] *= 1e-9

    base = edit(checkpoint, shrink)
    record = Cast("float16").apply(opened(base), [], silent)
    share = base.tensors["model.layers.1.mlp.up_proj.weight"].bytes / base.bytes
    assert record["flushed"] == pytest.approx(share, rel=0.01)
    assert record["warnings"] == [f"cast: {record['flushed']:.2%} of the weights became zero in torch.float16"]


@pytest.mark.parametrize("family", ["llama"])
def test_overflow_and_damage_are_refused(checkpoint: Checkpoint, opened: Any, edit: Any, silent: Progress) -> None:
    def grow(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = 70_000

    def damage(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = torch.nan

    with pytest.raises(Unsupported, match=r"up_proj.*70000") as caught:
        Cast("float16").apply(opened(edit(checkpoint, grow)), [], silent)
    assert "cast:dtype=float32" in caught.value.mend
    with pytest.raises(BadFile, match="NaN"):
        Cast("float16").apply(opened(edit(checkpoint, damage)), [], silent)


@pytest.mark.parametrize("family", ["phi"])
def test_killed_and_gone_on_is_the_same(
    checkpoint: Checkpoint, opened: Any, silent: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(what: str, done: int, total: int) -> None:
        if done == 9:
            raise Killed

    whole, killed, resumed = opened(checkpoint), opened(checkpoint), opened(checkpoint)
    record = Cast("float16").apply(whole, [], silent)
    with pytest.raises(Killed):
        Cast("float16").apply(killed, [], dying)
    resumed.folder = killed.folder
    put, real = list[str](), Model.put_outer
    monkeypatch.setattr(Model, "put_outer", lambda self, name, tensor: put.append(name) or real(self, name, tensor))
    assert Cast("float16").apply(resumed, [], silent) == record
    assert len(put) == len(whole.names) - 9
    for name in whole.names:
        assert torch.equal(whole.outer(name), resumed.outer(name))


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32"])
def test_left_out_where_nothing_changes(make_checkpoint: MakeCheckpoint, stored: str) -> None:
    base = Checkpoint(make_checkpoint("llama", dtype=stored))
    cast: Any = Cast("float16")
    kept = [step for step, _ in taken(base, [cast, Depth(1), cast, cast, Cast("float32"), cast])]
    # Behind another step some weights may be in float32; behind a cast none is in another dtype than its own.
    after = [Depth(1), cast, Cast("float32"), cast]
    assert kept == (after if stored == "float16" else [cast, *after])
    assert not cast.idle({}) and cast.idle({"torch_dtype": "float16"})


def test_what_is_there_counts_and_not_what_is_said(make_checkpoint: MakeCheckpoint) -> None:
    path = make_checkpoint("llama")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    assert [row.step for row in plan(Checkpoint(path), [Cast("float16")])] == ["base", "cast:dtype=float16"]


def test_the_dtype_of_the_result(make_checkpoint: MakeCheckpoint) -> None:
    base = Checkpoint(make_checkpoint("llama", dtype="bfloat16"))
    narrow, wide = Cast("float16"), Cast("float32")
    assert agreed_dtype(base, [], None) == agreed_dtype(base, [wide, narrow], None) == "float16"
    assert agreed_dtype(base, [narrow, Depth(1), wide], None) == agreed_dtype(base, [wide], "float32") == "float32"
    assert stored_dtype(base, agreed_dtype(base, [], "keep")) == "bfloat16"
    with pytest.raises(BadOption, match="--dtype float16 contradicts cast:dtype=float32"):
        plan(base, [wide], "float16")
    with pytest.raises(BadOption, match="--dtype keep contradicts cast:dtype=float16"):
        plan(base, [narrow], "keep")
    full = Checkpoint(make_checkpoint("llama"))
    assert agreed_dtype(full, [wide], "keep") == "keep"  # which is the same
    assert spec_of(parse("compress", "cast:dtype=float32")) == "cast:dtype=float32"


@pytest.mark.parametrize("recipe", [["cast:dtype=float32"], ["cast:dtype=float16", "depth:drop=1"], [
    "depth:drop=1", "cast:dtype=float16", "width:ffn=96", "cast:dtype=float32"]])  # fmt: skip
def test_written_as_planned(
    make_checkpoint: MakeCheckpoint, texts: list[TextSource], tmp_path: Path, recipe: list[str]
) -> None:
    base = Checkpoint(make_checkpoint("qwen2", dtype="bfloat16"))
    steps = [parse("compress", spec) for spec in recipe]
    planned = plan(base, steps)
    wanted = next(spec.partition("=")[2] for spec in reversed(recipe) if "cast" in spec)
    result = compress(base, steps, tmp_path / "out", texts=texts, **SMALL)
    assert (result.parameters, result.bytes) == (planned[-1].parameters, planned[-1].bytes)
    assert result.config == portable(planned[-1].config, wanted)
    assert result.dtypes == {{"float16": "F16", "float32": "F32"}[wanted]: result.parameters}
    said: Any = result.card.model_extra
    assert result.card.recipe == [row.step for row in planned[1:]] == recipe
    assert said["options"][-1]["dtype"] == said["cast"]["dtype"] == wanted
    with pytest.raises(BadOption, match="contradicts"):
        compress(base, steps, tmp_path / "no", texts=texts, dtype="keep", **SMALL)
    assert not (tmp_path / "no").exists()
