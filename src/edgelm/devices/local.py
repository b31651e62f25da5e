"""The CPU or GPU of this machine, in a fresh process: a checkpoint by transformers, a bundle by its runner."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from typing import IO, Any, Literal

from edgelm import errors
from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint, validate
from edgelm.devices.base import Measurement, Progress, require_runnable
from edgelm.devices.local_bundle import measure_bundle
from edgelm.errors import EdgelmError, InputError, MissingPackage, Unsupported
from edgelm.report import Workload

_COMMAND = ("-P", "-m", "edgelm.devices.child")  # -P: no module of the current folder is taken for a library
_ANSWERS = {kind.__name__: kind for kind in (errors.MissingInput, errors.BadFile, errors.BadOption, Unsupported)}


@dataclass(frozen=True)
class Local:
    """A checkpoint runs as the stock model, in batches of 1 or more, greedy, with a key/value cache, in eager mode.

    A bundle runs in the same program as on a phone, built for this machine; its dtype is that of its file.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: the GPU if there is one
    dtype: Literal["keep", "float32", "float16", "bfloat16"] = "keep"  # keep: as stored, where it can be computed
    threads: int = 0  # of the CPU; 0 leaves what torch or the runner chooses
    time_limit: int = 3600  # seconds until the measurement is given up
    memory_limit: int = 0  # bytes that a bundle's runner may take; 0 is no limit

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.threads < 0:
            raise errors.BadOption(f"threads={self.threads} is no number of threads", mend="0 leaves torch's choice")
        if self.memory_limit < 0:
            raise errors.BadOption(f"memory_limit={self.memory_limit} is no limit", mend="give bytes, such as 9GB")
        if self.time_limit < 1:
            raise errors.BadOption(f"time_limit={self.time_limit} leaves no time", mend="give seconds, 1 or more")

    def measure(self, model: Checkpoint | Bundle, workload: Workload, progress: Progress) -> Measurement:
        """Measure in a process of its own, so that its memory is that of this model alone.

        Raises:
            BadOption, Unsupported: see `require_runnable`; no such device; it does not fit the memory; time is up.
            MissingPackage: torch, transformers or psutil is not installed.
            EdgelmError: the process broke down for another reason; its last words are quoted.
        """
        if isinstance(model, Bundle):
            return self._measure_bundle(model, workload, progress)
        return self._measure_checkpoint(model, workload, progress)

    def _measure_bundle(self, bundle: Bundle, workload: Workload, progress: Progress) -> Measurement:
        if self.device == "cuda" or self.dtype != "keep":
            raise errors.BadOption("a bundle runs on the processor, in the dtype of its file",
                                   mend="leave out device and dtype, or measure the checkpoint")  # fmt: skip
        return measure_bundle(
            bundle, workload, threads=self.threads, memory_limit=self.memory_limit, time_limit=self.time_limit,
            progress=progress,
        )  # fmt: skip

    def _measure_checkpoint(self, checkpoint: Checkpoint, workload: Workload, progress: Progress) -> Measurement:
        if self.memory_limit:
            raise errors.BadOption("memory_limit is for bundles", mend="leave it out, or measure a bundle")
        require_runnable(checkpoint, workload)
        for package in ("torch", "transformers", "psutil"):
            if importlib.util.find_spec(package) is None:
                raise MissingPackage(package, "model")
        return validate(Measurement, self._run(self.job(checkpoint, workload), progress), "the measuring process")

    @property
    def command(self) -> tuple[str, ...]:
        """What the interpreter of the measuring process is given."""
        return _COMMAND

    def job(self, checkpoint: Checkpoint, workload: Workload) -> dict[str, Any]:
        """What the measuring process reads."""
        return {
            "checkpoint": str(checkpoint.path.resolve()), "workload": workload.model_dump(mode="json"),
            "device": self.device, "dtype": self.dtype, "threads": self.threads,
        }  # fmt: skip

    def _run(self, job: dict[str, Any], progress: Progress) -> Any:
        with (
            tempfile.TemporaryFile() as words,
            subprocess.Popen(
                [sys.executable, *self.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True
            ) as child,
        ):
            assert child.stdin and child.stdout
            late = threading.Event()

            def give_up() -> None:
                late.set()
                child.kill()

            timer = threading.Timer(self.time_limit, give_up)
            timer.start()
            try:
                _send(child.stdin, job)
                last = _last_line(child.stdout, progress)
                child.wait()
            finally:
                timer.cancel()
                child.kill()
            if "result" in last:
                return last["result"]
            if late.is_set():
                raise Unsupported(
                    f"the measurement was not done after {self.time_limit} s",
                    mend="raise it (local:time_limit=…), or lower --prompt-tokens, --generated-tokens or --repeats",
                )
            raise _broken(job["checkpoint"], last.get("error"), child.returncode, _tail(words))


def _send(stdin: IO[str], job: dict[str, Any]) -> None:
    try:
        stdin.write(json.dumps(job))
        stdin.close()
    except BrokenPipeError:
        pass  # it is gone already; how it ended is told below


def _last_line(stdout: IO[str], progress: Progress) -> dict[str, Any]:
    """Pass on progress until the line that ends the measurement; empty if none came, or only a part of one."""
    for line in stdout:
        try:
            value: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:  # torn when the child was killed
            return {}
        if "progress" not in value:
            return value
        progress(*value["progress"])
    return {}


def _tail(words: IO[bytes], lines: int = 6) -> str:
    words.seek(0)
    return "\n".join(words.read().decode(errors="replace").strip().splitlines()[-lines:])


def _broken(checkpoint: str, error: dict[str, str] | None, code: int, tail: str) -> EdgelmError:
    """The error that a child without a result stands for."""
    if error and error["kind"] != "out of memory":
        return _ANSWERS.get(error["kind"], InputError)(error["what"], why=error["why"], mend=error["mend"])
    if error or code == -signal.SIGKILL:
        return Unsupported(
            f"{checkpoint} ran out of memory on this machine",
            why=error["why"] if error else "the system killed the measuring process, which it does when memory is full",
            mend="close other programs, compress further, or use dtype=float16 or a larger machine",
        )
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return EdgelmError(f"the measuring process broke down ({how})", why=tail, mend="report it with the lines above")
