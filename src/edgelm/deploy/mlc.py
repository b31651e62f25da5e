"""MLC-LLM: its weights, configuration and package file, by its own commands; without it, what to run where it is."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.accepts import exports
from edgelm.deploy.base import Progress
from edgelm.errors import BadOption, EdgelmError, Unsupported

WEIGHTS, LIBRARY, PACKAGE, SCRIPT = "weights", "model.tar", "mlc-package-config.json", "commands.sh"
TEMPLATES = {"<|start_header_id|>": "llama-3", "<|im_start|>": "chatml", "Instruct:": "phi-2"}
_PLAIN = "LM"  # of a model that only continues texts
_SECONDS = 2 * 3600
_TOLD_LINES = 6
_ESTIMATED = 1.1  # times the weights: what an app should find free


@dataclass(frozen=True)
class MLC:
    """The target `mlc`.

    Attributes:
        dtype: F16 or F32; nothing is quantised.
        context: positions of the cache.
        template: MLC's name of the chat template; found from the checkpoint's if not given.
        compile: also make the library that computes, for this device.
    """

    dtype: Literal["F16", "F32"] = "F16"
    context: int = 2048
    template: str = ""
    compile: Literal["none", "android", "vulkan", "cuda", "metal"] = "none"

    def __post_init__(self) -> None:
        """Refuse a context of nothing."""
        if self.context < 1:
            raise BadOption(f"mlc:context={self.context} is not possible", mend="give 1 or more")

    @property
    def tools(self) -> dict[str, str]:
        """The version of MLC-LLM, where it is installed."""
        return {"mlc_llm": _version()} if _installed() else {}

    def build(self, checkpoint: Checkpoint, out: Path, progress: Progress) -> None:
        """Run the commands, each told to `progress` before; where MLC-LLM is not installed, write them down.

        Raises:
            Unsupported: MLC-LLM does not take this model.
            EdgelmError: a command failed; with its last words.
        """
        shape = checkpoint.shape
        if why := exports(shape, trimmed=False).mlc:
            raise Unsupported(
                f"MLC-LLM does not take {checkpoint.path}", why=why, mend="use the target gguf or android"
            )
        if self.context > shape.context:
            raise Unsupported(f"mlc:context={self.context} is more than the model's {shape.context} positions",
                              mend=f"give context={shape.context} or less")  # fmt: skip
        (out / PACKAGE).write_text(json.dumps(self._package(checkpoint), indent=2) + "\n")
        (out / SCRIPT).write_text(_script(self._commands(checkpoint, "$1", ".")))
        if not _installed():
            progress(f"mlc_llm is not installed; where it is: sh {SCRIPT} {checkpoint.path}", 1, 1)
            return
        commands = self._commands(checkpoint, str(checkpoint.path.resolve()), str(out))
        for number, words in enumerate(commands):
            progress(shlex.join(words), number, len(commands))
            _run([sys.executable, "-m", *words])

    def _commands(self, checkpoint: Checkpoint, model: str, out: str) -> list[list[str]]:
        """As words behind `python -m`."""
        kind = ["--quantization", "q0f16" if self.dtype == "F16" else "q0f32"]
        weights = f"{out}/{WEIGHTS}"
        commands = [
            ["mlc_llm", "convert_weight", model, *kind, "-o", weights],
            ["mlc_llm", "gen_config", model, *kind, "--conv-template", self.template or template_of(checkpoint),
             "--context-window-size", str(self.context), "--max-batch-size", "1", "-o", weights],
        ]  # fmt: skip
        if self.compile != "none":
            commands.append(["mlc_llm", "compile", f"{weights}/mlc-chat-config.json", "--device", self.compile,
                             "-o", f"{out}/{LIBRARY}"])  # fmt: skip
        return commands

    def _package(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """What `mlc_llm package` reads in the folder of its app."""
        width = 2 if self.dtype == "F16" else 4
        needed = checkpoint.shape.parameters * width + checkpoint.shape.kv_bytes(self.context, width)
        model = {
            "model": WEIGHTS, "model_id": checkpoint.path.resolve().name, "bundle_weight": True,
            "estimated_vram_bytes": int(_ESTIMATED * needed),
            "overrides": {"context_window_size": self.context, "max_batch_size": 1},
        }  # fmt: skip
        return {"device": "android", "model_list": [model]}


def template_of(checkpoint: Checkpoint) -> str:
    """MLC's name of the checkpoint's chat template, by what the template writes."""
    written = checkpoint.chat_template or ""
    return next((name for mark, name in TEMPLATES.items() if mark in written), _PLAIN)


def _script(commands: Sequence[Sequence[str]]) -> str:
    """The commands as a shell script, given the checkpoint's folder."""
    lines = [" ".join('"$1"' if word == "$1" else shlex.quote(word) for word in words) for words in commands]
    usage = f': "${{1:?the folder of the checkpoint is missing: sh {SCRIPT} CHECKPOINT}}"'
    return "\n".join(["#!/bin/sh", "# Needs MLC-LLM: https://llm.mlc.ai/docs/install/mlc_llm.html", "set -eu", usage,
                      'case "$1" in /*) ;; *) set -- "$PWD/$1" ;; esac', 'cd "$(dirname "$0")"',
                      *(f"python3 -m {line}" for line in lines), ""])  # fmt: skip


def _installed() -> bool:
    return importlib.util.find_spec("mlc_llm") is not None


def _version() -> str:
    for name in ("mlc-llm", "mlc-llm-nightly", "mlc-llm-cpu", "mlc-llm-nightly-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"


def _run(words: Sequence[str]) -> None:
    with tempfile.TemporaryFile() as said:
        try:
            code = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=_SECONDS,
                                  check=False).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            raise EdgelmError(f"{shlex.join(words)} was not done after {_SECONDS // 3600} hours",
                              mend=f"run the commands of {SCRIPT} by hand") from None  # fmt: skip
        said.seek(0)
        last = said.read().decode(errors="replace").strip().splitlines()[-_TOLD_LINES:]
    if code:
        raise EdgelmError(f"{shlex.join(words)} failed with code {code}", why="\n".join(last) or "it said nothing",
                          mend="mend what it says, then run edgelm deploy again")  # fmt: skip
