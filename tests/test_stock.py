"""Loading as a stock model: what fits loads whole and quietly, and what does not is named, never made up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import SafetensorError

from edgelm import stock
from edgelm.checkpoint import Checkpoint
from edgelm.errors import BadFile, BadOption, InputError, MissingInput, NoSpace, Unsupported

Make = Callable[..., Path]


@pytest.fixture
def folder(make_checkpoint: Make) -> Path:
    """A checkpoint to be damaged."""
    return make_checkpoint("llama", num_hidden_layers=2)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def load(folder: Path) -> Any:
    return stock.load_model(Checkpoint(folder), torch.float32)


# What fits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_weight_is_that_of_the_file_in_the_dtype_asked_for(folder: Path, dtype: torch.dtype) -> None:
    from safetensors.torch import load_file

    model = stock.load_model(Checkpoint(folder), dtype)
    stored = load_file(folder / "model.safetensors")
    state = model.state_dict()
    assert state.keys() == stored.keys()
    assert all(torch.equal(state[name], stored[name].to(dtype)) for name in stored)
    assert not model.training and model.device.type == "cpu"


def test_loading_draws_no_bar_and_leaves_the_setting_as_it_was(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    transformers.logging.enable_progress_bar()
    capfd.readouterr()  # what the fixture printed
    load(folder)
    assert capfd.readouterr() == ("", "")
    assert transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        load(folder)
        assert not transformers.logging.is_progress_bar_enabled()
    finally:
        transformers.logging.enable_progress_bar()


def test_the_tokenizer_keeps_the_settings_of_its_files(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", padding_side="right", truncation_side="left")
    tokenizer = stock.load_tokenizer(Checkpoint(folder))
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("right", "left")
    assert tokenizer.decode(tokenizer("守株待兔")["input_ids"]) == "守株待兔"


# Configurations and headers


@pytest.mark.parametrize("model_type", ["never-heard-of", "vit", None, ["llama"]])
def test_a_class_that_transformers_lacks_is_named(folder: Path, model_type: object) -> None:
    edit(folder / "config.json", model_type=model_type)
    with pytest.raises(Unsupported) as caught:
        stock.require_known(Checkpoint(folder))
    assert f"'{model_type}'" in caught.value.what


def test_the_configuration_comes_before_the_headers_and_both_before_the_model(folder: Path) -> None:
    config, weights = (folder / "config.json").read_bytes(), (folder / "model.safetensors").read_bytes()
    edit(folder / "config.json", num_hidden_layers=-1)
    (folder / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(BadFile, match="num_hidden_layers"):
        load(folder)
    (folder / "config.json").write_bytes(config)
    edit(folder / "config.json", hidden_act="sharp")
    with pytest.raises(BadFile, match=r"model\.safetensors is no sound safetensors file"):
        load(folder)
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(BadFile, match="the model of") as caught:
        load(folder)
    assert "sharp" in caught.value.why


def test_a_family_without_a_shape_of_ours_is_known_all_the_same(folder: Path) -> None:
    edit(folder / "config.json", model_type="mistral")
    with pytest.raises(Unsupported):
        _ = Checkpoint(folder).shape
    assert type(load(folder)).__name__ == "MistralForCausalLM"


# Models


@pytest.mark.parametrize(
    ("change", "why"),
    [({"num_hidden_layers": 3}, "model.layers.2.input_layernorm.weight is not stored (9 tensors missing, 0 of"),
     ({"intermediate_size": 96}, "model.layers.0.mlp.down_proj.weight is (64, 128), config.json makes it (64, 96) (0")],
)  # fmt: skip
def test_weights_that_do_not_fit_the_configuration_are_never_made_up(
    folder: Path, change: dict[str, int], why: str
) -> None:
    edit(folder / "config.json", **change)
    with pytest.raises(BadFile, match=r"not those that its config\.json describes") as caught:
        load(folder)
    assert caught.value.why.startswith(why)


def test_weights_that_would_have_to_be_unpickled_are_not_read(folder: Path) -> None:
    state = load(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(MissingInput, match="safetensors"):
        load(folder)


def test_code_in_the_folder_is_not_run(folder: Path) -> None:
    (folder / "own.py").write_text("raise SystemExit('run')\n")
    edit(folder / "config.json", auto_map={"AutoModelForCausalLM": "own.Model", "AutoConfig": "own.Config"})
    assert type(load(folder)).__name__ == "LlamaForCausalLM"
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Tokenizer", None]}, tokenizer_class="Own")
    with pytest.raises(BadFile, match="the tokenizer of"):
        stock.load_tokenizer(Checkpoint(folder))


def test_packages_that_are_not_installed_are_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: object, **__: object) -> None:
        raise ImportError("this model needs the package quantum")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", lacks)
    with pytest.raises(Unsupported) as caught:
        load(folder)
    assert "quantum" in caught.value.why


# Tokenizers


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b'{"version": "9"}'])
def test_a_damaged_tokenizer_is_named(folder: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(BadFile, match="the tokenizer of"):
        stock.load_tokenizer(Checkpoint(folder))


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "phi"])
@pytest.mark.parametrize("gone", [("tokenizer.json",), ("tokenizer.json", "tokenizer_config.json")])
def test_a_missing_tokenizer_is_not_replaced_by_an_empty_one(
    make_checkpoint: Make, family: str, gone: tuple[str, ...]
) -> None:
    folder = make_checkpoint(family, num_hidden_layers=1)
    for name in gone:
        (folder / name).unlink()
    with pytest.raises(BadFile, match="the tokenizer of"):
        stock.load_tokenizer(Checkpoint(folder))


# Memory


def test_every_way_of_running_out_of_memory_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    assert stock.is_out_of_memory(caught.value)
    assert stock.is_out_of_memory(MemoryError())
    assert stock.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not stock.is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not stock.is_out_of_memory(OSError("no such file"))


def test_running_out_of_memory_is_no_fault_of_the_files(folder: Path) -> None:
    with pytest.raises(RuntimeError) as caught, stock.refusals(Checkpoint(folder), "model"):
        torch.empty(2**55, dtype=torch.uint8)
    assert not isinstance(caught.value, InputError)


# Writing


@pytest.mark.parametrize(("number", "kind"), [(28, NoSpace), (122, NoSpace), (30, BadOption)])
def test_a_disk_that_refuses_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[InputError]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SafetensorError(f"Error while serializing: I/O error: something (os error {number})")

    monkeypatch.setattr(stock, "save_file", refuse)
    with pytest.raises(kind, match=r"w\.safetensors"):
        stock.save_tensors(tmp_path / "w.safetensors", {"a": torch.ones(1)})


def test_the_systems_refusal_reaches_us_by_its_number(tmp_path: Path) -> None:
    """What safetensors says today, so that another wording of another version is noticed."""
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(BadOption, match=r"w\.safetensors"):
        stock.save_tensors(tmp_path / "w.safetensors", {"a": torch.ones(1)})


def test_another_fault_of_the_writer_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SafetensorError("invalid tensor")

    monkeypatch.setattr(stock, "save_file", refuse)
    with pytest.raises(SafetensorError):
        stock.save_tensors(tmp_path / "w.safetensors", {"a": torch.ones(1)})


# Code of the checkpoint's own


@pytest.fixture
def own(own_code: Path, tmp_path: Path) -> Path:
    """A checkpoint with code of its own, to be changed."""
    return shutil.copytree(own_code, tmp_path / "own")


def test_own_code_runs_only_if_asked_for_and_then_says_so(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Unsupported, match="own-llama") as caught:
        load(own)
    assert "modeling_own.OwnModel" in caught.value.why or "configuration_own.OwnConfig" in caught.value.why
    assert "--engine local:code=true" in caught.value.mend
    assert not caplog.records
    model = stock.load_model(Checkpoint(own), torch.float32, code=True)
    assert type(model).__name__ == "OwnModel"
    assert f"code that comes with {own} runs" in caplog.text


def test_a_stock_class_stays_stock_beside_code_of_its_own(own: Path) -> None:
    edit(own / "config.json", model_type="llama")
    assert type(load(own)) is transformers.LlamaForCausalLM


@pytest.mark.parametrize(
    "name", ["else/where--modeling_own.OwnModel", "absent.OwnModel", "../modeling_own.OwnModel", 7]
)
def test_code_from_elsewhere_is_refused(own: Path, name: object) -> None:
    edit(own / "config.json", auto_map={"AutoModelForCausalLM": name})
    with pytest.raises(Unsupported, match="not in its folder"):
        stock.require_known(Checkpoint(own), code=True)
    edit(own / "config.json", auto_map={})
    edit(own / "tokenizer_config.json", auto_map=[None, name])
    with pytest.raises(Unsupported, match="not in its folder"):
        stock.require_known(Checkpoint(own), code=True)


def test_code_is_not_asked_for_in_vain_nor_may_it_answer_its_own_way(folder: Path, own: Path) -> None:
    with pytest.raises(Unsupported, match="brings no code of its own"):
        stock.require_known(Checkpoint(folder), code=True)
    (own / "custom_generate").mkdir()
    with pytest.raises(Unsupported, match="custom_generate"):
        stock.require_known(Checkpoint(own), code=True)


def test_every_file_of_own_code_is_in_the_digest(own: Path) -> None:
    seen = {Checkpoint(own).digest}
    for path in sorted(own.glob("*.py")):
        path.write_text(path.read_text() + "# changed\n")
        seen.add(Checkpoint(own).digest)
    assert len(seen) == 3
