"""The target `mlc` against a recorded interface: a stand-in that takes the options of MLC-LLM's command line alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.deploy.mlc import MLC, template_of
from edgelm.errors import BadOption, EdgelmError, Unsupported

# The verbs and options as `mlc_llm VERB --help` names them; anything else ends with code 2, as there.
STAND_IN = """
import argparse, json, pathlib, sys
top = argparse.ArgumentParser("mlc_llm")
verbs = top.add_subparsers(dest="verb", required=True)
convert = verbs.add_parser("convert_weight")
config = verbs.add_parser("gen_config")
compile = verbs.add_parser("compile")
for verb in (convert, config):
    verb.add_argument("config", type=pathlib.Path)
    verb.add_argument("--quantization", required=True, choices=["q0f16", "q0f32", "q4f16_1"])
    verb.add_argument("--model-type", default="auto")
    verb.add_argument("-o", "--output", type=pathlib.Path, required=True)
config.add_argument("--conv-template", required=True, choices=["llama-3", "chatml", "phi-2", "LM"])
for name in ("--context-window-size", "--prefill-chunk-size", "--max-batch-size"):
    config.add_argument(name, type=int)
compile.add_argument("model", type=pathlib.Path)
compile.add_argument("--device", default="auto")
compile.add_argument("-o", "--output", type=pathlib.Path, required=True)
asked = top.parse_args()
if asked.verb == "compile":
    assert json.loads(asked.model.read_text())["conv_template"]
    asked.output.write_bytes(b"library")
else:
    assert (asked.config / "config.json").is_file(), "no config.json"
    asked.output.mkdir(parents=True, exist_ok=True)
    name = {"convert_weight": "tensor-cache.json", "gen_config": "mlc-chat-config.json"}[asked.verb]
    (asked.output / name).write_text(json.dumps({k: str(v) for k, v in vars(asked).items()}))
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "site" / "mlc_llm"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("")
    (place / "__main__.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(place.parent)
    monkeypatch.setenv("PYTHONPATH", str(place.parent))
    return place


@pytest.mark.parametrize(("dtype", "kind"), [("F16", "q0f16"), ("F32", "q0f32")])
def test_its_commands_make_the_bundle(
    make_checkpoint: Any, installed: Path, tmp_path: Path, dtype: Any, kind: str
) -> None:
    said: list[str] = []
    checkpoint = Checkpoint(make_checkpoint("llama"))
    deploy(checkpoint, MLC(dtype, 64, compile="android"), tmp_path / "out", lambda what, *_: said.append(what))
    bundle = Bundle(tmp_path / "out")
    bundle.verify()
    assert {"weights/tensor-cache.json", "weights/mlc-chat-config.json", "model.tar"} <= set(bundle.listing.files)
    made = json.loads((bundle.path / "weights/mlc-chat-config.json").read_text())
    assert (made["quantization"], made["conv_template"], made["context_window_size"]) == (kind, "chatml", "64")
    commands = [what for what in said if what.startswith("mlc_llm")]
    assert [command.split()[1] for command in commands] == ["convert_weight", "gen_config", "compile"]


def test_without_it_the_folder_is_ready_to_run(
    make_checkpoint: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    checkpoint = Checkpoint(make_checkpoint("llama"))
    deploy(checkpoint, MLC(context=64), tmp_path / "out")
    assert set(Bundle(tmp_path / "out").listing.files) == {"commands.sh", "mlc-package-config.json"}
    package = json.loads((tmp_path / "out/mlc-package-config.json").read_text())
    assert package["model_list"][0]["estimated_vram_bytes"] > 2 * checkpoint.parameters

    request.getfixturevalue("installed")
    script = tmp_path / "out" / "commands.sh"
    script.write_text(script.read_text().replace("python3 ", f"{sys.executable} "))
    relative = os.path.relpath(checkpoint.path, tmp_path)
    subprocess.run(["sh", "out/commands.sh", relative], check=True, cwd=tmp_path)
    assert (tmp_path / "out/weights/mlc-chat-config.json").is_file()


def test_a_failing_command_is_quoted(make_checkpoint: Any, installed: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgelmError, match=r"gen_config.* failed with code 2") as failed:
        deploy(Checkpoint(make_checkpoint("llama")), MLC(context=64, template="of-my-own"), tmp_path / "out")
    assert "of-my-own" in str(failed.value.why)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("written", "name"), [
    ("{{ '<|start_header_id|>' }}", "llama-3"), ("<|im_start|>user", "chatml"), ("Instruct: {{ x }}", "phi-2"),
    ("{{ messages }}", "LM"),
])  # fmt: skip
def test_the_template_is_told_by_what_it_writes(make_checkpoint: Any, written: str, name: str) -> None:
    folder = make_checkpoint("llama")
    (folder / "chat_template.jinja").write_text(written)
    assert template_of(Checkpoint(folder)) == name


def test_what_it_does_not_take_is_refused(make_checkpoint: Any, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="context=0"):
        MLC(context=0)
    with pytest.raises(Unsupported, match="more than the model's"):
        deploy(Checkpoint(make_checkpoint("llama")), MLC(context=10**6), tmp_path / "out")
    with pytest.raises(Unsupported, match="MLC-LLM does not take"):
        deploy(Checkpoint(make_checkpoint("qwen2", head_dim=32)), MLC(context=64), tmp_path / "out")
