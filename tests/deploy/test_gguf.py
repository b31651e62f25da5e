"""The exported file, read back with the `gguf` package: keys, tokenizer, and every tensor against transformers."""

from __future__ import annotations

import errno
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from edgelm import plugins
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.errors import BadFile, MissingInput, MissingPackage, NoSpace, Unsupported
from edgelm.native.runner import command, started

PLAIN = {
    "embed_tokens": "token_embd", "norm": "output_norm", "final_layernorm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "q_proj": "attn_q", "k_proj": "attn_k",
    "v_proj": "attn_v", "o_proj": "attn_output", "dense": "attn_output", "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm", "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down", "fc1": "ffn_up",
    "fc2": "ffn_down",
}  # fmt: skip


def export(folder: Path, out: Path, spec: str = "gguf") -> gguf.GGUFReader:
    deploy(Checkpoint(folder), plugins.parse("deploy", spec), out)
    return gguf.GGUFReader(out / "model.gguf")


def keys(reader: gguf.GGUFReader) -> dict[str, Any]:
    return {name: field.contents() for name, field in reader.fields.items()}


def loaded(folder: Path) -> dict[str, np.ndarray]:
    """The weights as transformers holds them, under GGUF's names; a tied head is left out."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    found = {}
    for name, parameter in model.named_parameters():
        *path, last, kind = name.split(".")
        layer = f"blk.{path[2]}." if "layers" in path else ""
        found[f"{layer}{PLAIN[last]}.{kind}"] = parameter.detach().numpy()
    return found


def in_halves(values: np.ndarray, head_size: int) -> np.ndarray:
    """Rows put back from llama.cpp's rotary order, written with indices rather than reshapes."""
    back = np.empty_like(values)
    for head in range(0, len(values), head_size):
        for i in range(head_size // 2):
            back[head + i] = values[head + 2 * i]
            back[head + head_size // 2 + i] = values[head + 2 * i + 1]
    return back


def assert_same_weights(reader: gguf.GGUFReader, expected: dict[str, np.ndarray], *, rotary: int, exact: bool) -> None:
    assert {tensor.name for tensor in reader.tensors} == expected.keys()
    for tensor in reader.tensors:
        values, wanted = np.asarray(tensor.data), expected[tensor.name]
        if rotary and (".attn_q." in tensor.name or ".attn_k." in tensor.name):
            values = in_halves(values, rotary)
        assert tensor.tensor_type.name == ("F32" if exact or wanted.ndim == 1 else "F16"), tensor.name
        assert list(tensor.shape) == list(wanted.shape[::-1]), tensor.name
        np.testing.assert_array_equal(values, wanted.astype(values.dtype), err_msg=tensor.name)


@pytest.mark.parametrize(
    ("family", "settings", "dtype"),
    [
        ("llama", {"tied": True}, "F16"),
        ("llama", {"dtype": "bfloat16", "attention_bias": True, "mlp_bias": True}, "F32"),
        ("llama", {"head_dim": 24, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 90}, "F16"),
        ("qwen2", {"dtype": "bfloat16"}, "F16"),
        ("qwen2", {"tied": True, "dtype": "float16", "num_key_value_heads": 1}, "F32"),
        ("qwen3", {"head_dim": 24, "tied": True}, "F16"),
        ("qwen3", {}, "F32"),
        ("phi", {"intermediate_size": 100, "partial_rotary_factor": 0.4, "hidden_size": 80}, "F16"),
        ("phi", {"tied": True, "dtype": "float16", "num_key_value_heads": 4}, "F32"),
    ],
)
def test_every_tensor_is_there_with_its_values(
    make_checkpoint: Any, tmp_path: Path, family: str, settings: dict[str, Any], dtype: str
) -> None:
    folder = make_checkpoint(family, **settings)
    reader = export(folder, tmp_path / "bundle", f"gguf:dtype={dtype}")
    shape, expected = Checkpoint(folder).shape, loaded(folder)
    if family == "phi" and shape.tied:  # llama.cpp's phi2 has no tied head
        expected["output.weight"] = expected["token_embd.weight"]
    rotary = shape.head_size if family == "llama" else 0
    assert_same_weights(reader, expected, rotary=rotary, exact=dtype == "F32")
    found = keys(reader)
    arch = {"phi": "phi2"}.get(family, family)
    assert found["general.architecture"] == arch
    assert found["general.file_type"] == (0 if dtype == "F32" else 1)
    assert found[f"{arch}.attention.key_length"] == found[f"{arch}.attention.value_length"] == shape.head_size
    assert found[f"{arch}.vocab_size"] == len(found["tokenizer.ggml.tokens"]) == shape.vocab


def test_a_sharded_checkpoint_gives_the_same_file(make_checkpoint: Any, tmp_path: Path) -> None:
    import transformers

    whole = make_checkpoint("llama", seed=3)
    sharded = tmp_path / whole.name
    transformers.AutoModelForCausalLM.from_pretrained(whole).save_pretrained(sharded, max_shard_size="100KB")
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        (sharded / name).write_bytes((whole / name).read_bytes())
    (sharded / "chat_template.jinja").write_text(Checkpoint(whole).chat_template or "", encoding="utf-8")
    assert len(Checkpoint(sharded).weight_files) > 3
    export(whole, tmp_path / "one")
    export(sharded, tmp_path / "two")
    assert (tmp_path / "one" / "model.gguf").read_bytes() == (tmp_path / "two" / "model.gguf").read_bytes()


def test_stories260k(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "models" / "stories260K-hf"
    reader = export(folder, tmp_path / "bundle")
    assert_same_weights(reader, loaded(folder), rotary=8, exact=False)
    found = keys(reader)
    assert found["tokenizer.ggml.model"] == "llama"
    assert found["tokenizer.ggml.add_bos_token"] is True
    assert found["tokenizer.ggml.add_eos_token"] is False
    assert found["tokenizer.ggml.add_space_prefix"] is True
    assert [found[f"tokenizer.ggml.{name}_token_id"] for name in ("unknown", "bos", "eos")] == [0, 1, 2]
    assert found["tokenizer.ggml.token_type"][:4] == [2, 3, 3, 6]  # unknown, control, control, byte
    tokens, scores = found["tokenizer.ggml.tokens"], found["tokenizer.ggml.scores"]
    assert scores[tokens.index("▁t")] == 0 > scores[tokens.index("he")] == -1


def test_the_bundle_names_target_and_tools(make_checkpoint: Any, tmp_path: Path) -> None:
    export(make_checkpoint("llama"), tmp_path / "bundle", "gguf:dtype=F32")
    bundle = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert bundle["target"] == "gguf:dtype=F32"
    assert bundle["files"]["model.gguf"]["size"] == (tmp_path / "bundle" / "model.gguf").stat().st_size
    assert bundle["tools"].keys() == {"gguf"}


def test_progress_counts_the_bytes_written(make_checkpoint: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = make_checkpoint("llama")
    deploy(Checkpoint(folder), plugins.parse("deploy", "gguf:dtype=F32"), tmp_path / "bundle",
           lambda what, done, of: seen.append((done, of)) if what == "write" else None)  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == (4 * Checkpoint(folder).parameters,) * 2


def write_weights(folder: Path, dtype: str, tensors: dict[str, tuple[int, ...]], block: bytes) -> None:
    """A safetensors file by hand: `block` over and over, so that no tensor is ever whole in memory."""
    header, at = {}, 0
    for name, shape in tensors.items():
        size = int(np.prod(shape)) * 2
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in range(at // len(block)):
            file.write(block)
        file.write(block[: at % len(block)])


MEASURE = """
import resource, sys
from pathlib import Path
from edgelm import plugins
from edgelm.checkpoint import Checkpoint
target = plugins.parse("deploy", "gguf")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
target.build(Checkpoint(sys.argv[1]), Path(sys.argv[2]), lambda what, done, of: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_tensors(make_checkpoint: Any, tmp_path: Path) -> None:
    folder = make_checkpoint("llama", tied=True)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_size": 1024, "head_dim": 256, "intermediate_size": 1024, "vocab_size": 140_000}
    config["num_hidden_layers"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    numbers = np.random.default_rng(0).standard_normal(1 << 19, np.float32)
    block = numbers.view(np.uint16)[1::2].tobytes()  # the upper halves: bfloat16
    write_weights(folder, "BF16", Checkpoint(folder).shape.tensors, block)
    assert Checkpoint(folder).bytes > 290e6
    run = subprocess.run([sys.executable, "-c", MEASURE, folder, tmp_path], capture_output=True, text=True, check=True)
    assert (tmp_path / "model.gguf").stat().st_size > 290e6
    assert int(run.stdout) * 1024 < 120e6  # the embedding alone is 287 MB, and twice that as float32


def test_a_value_beyond_f16_names_tensor_and_mend(make_checkpoint: Any, tmp_path: Path) -> None:
    folder = make_checkpoint("qwen2", dtype="bfloat16")
    set_value(folder, "model.layers.1.mlp.up_proj.weight", b"\x80\x47")  # 65536
    with pytest.raises(Unsupported, match=r"layers\.1\.mlp\.up_proj\.weight does not fit F16") as caught:
        export(folder, tmp_path / "bundle")
    assert caught.value.mend == "export with dtype=F32"
    assert list(tmp_path.iterdir()) == []
    reader = export(folder, tmp_path / "bundle", "gguf:dtype=F32")
    assert max(tensor.data.max() for tensor in reader.tensors) == 65536


def test_a_damaged_value_is_refused(make_checkpoint: Any, tmp_path: Path) -> None:
    folder = make_checkpoint("qwen2", dtype="bfloat16")
    set_value(folder, "model.norm.weight", b"\xc0\x7f")  # NaN
    with pytest.raises(BadFile, match=r"model\.norm\.weight holds NaN"):
        export(folder, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def set_value(folder: Path, name: str, data: bytes) -> None:
    tensor = Checkpoint(folder).tensors[name]
    with tensor.file.open("r+b") as file:
        file.seek(tensor.start)
        file.write(data)


def test_a_missing_tokenizer_leaves_nothing(make_checkpoint: Any, tmp_path: Path) -> None:
    folder = make_checkpoint("llama")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(MissingInput, match=r"no tokenizer\.json"):
        export(folder, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(make_checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_padding", full)
    with pytest.raises(NoSpace):
        export(make_checkpoint("llama"), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_the_modules_beside_it_are_no_targets() -> None:
    names = plugins.available("deploy")
    assert "gguf" in names
    assert not any(name.startswith(("gguf-", "base")) for name in names)


def test_without_the_gguf_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("edgelm.deploy.gguf")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingPackage, match=r"\[deploy\]"):
        plugins.parse("deploy", "gguf")


@pytest.mark.parametrize("name", ["phi3", "my-Phi-3-small", "modern-bert-like", "phi-2-small"])
def test_a_name_that_llama_cpp_takes_for_another_model_is_left_out(
    make_checkpoint: Any, tmp_path: Path, host_runner: Path, name: str
) -> None:
    make_checkpoint("phi").rename(tmp_path / name)
    found = keys(export(tmp_path / name, tmp_path / "bundle"))
    assert found.get("general.name") == (name if name == "phi-2-small" else None)
    with started(command(str(host_runner), str(tmp_path / "bundle/model.gguf"), context=64)) as runner:
        assert runner.ready.arch == "phi2"
