"""A GGUF file with our static runner for 64-bit ARM: boards, Termux, and phones by `adb shell`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgelm.bundle import MODEL
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import Progress
from edgelm.deploy.gguf import GGUF
from edgelm.files import disk_errors, write_bytes
from edgelm.native.build import built, tools

RUNNER, SCRIPT = "runner", "run.sh"

_SCRIPT = f"""\
#!/bin/sh
# Start the runner on the model beside it: questions are JSON lines on stdin, answers JSON lines on stdout.
#     printf '%s\\n' '{{"op":"generate","text":"Once upon a time","max_tokens":32}}' | ./{SCRIPT}
# CONTEXT: positions to make room for. More options of the runner may follow, such as --threads 4.
here=$(dirname "$0")
exec "$here/{RUNNER}" --model "$here/{MODEL}" --context "${{CONTEXT:-2048}}" "$@"
"""


@dataclass(frozen=True)
class LinuxAarch64:
    """The target `linux-aarch64`."""

    dtype: Literal["F16", "F32"] = "F16"  # of matrices; vectors are always F32
    pre: str = ""  # llama.cpp's name of the pre-tokenizer; empty: found from tokenizer.json

    @property
    def tools(self) -> dict[str, str]:
        """The versions of the `gguf` package, llama.cpp and the compiler."""
        return GGUF(self.dtype, self.pre).tools | tools("aarch64")

    def build(self, checkpoint: Checkpoint, out: Path, progress: Progress) -> None:
        """Write `model.gguf`, `runner` and `run.sh` into the folder `out`.

        Raises:
            Unsupported, MissingInput, BadFile: the checkpoint cannot be exported (see `GGUF`).
            MissingPackage, Offline, EdgelmError: the runner cannot be built (see `built`).
        """
        runner = built("aarch64", progress)
        GGUF(self.dtype, self.pre).build(checkpoint, out, progress)
        place_runner(runner, out / RUNNER)
        write_bytes(out / SCRIPT, _SCRIPT.encode())
        (out / SCRIPT).chmod(0o755)


def place_runner(runner: Path, target: Path) -> None:
    """Copy an executable."""
    with disk_errors(target):
        shutil.copyfile(runner, target)
        target.chmod(0o755)
