"""The runner's executable: built once for each target, then taken from the cache."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from edgelm.errors import EdgelmError
from edgelm.files import canonical_json, disk_errors, sha256_bytes, write_bytes
from edgelm.native import source
from edgelm.native.compilers import Compiler, compiler, tool
from edgelm.native.elf import without_symbols
from edgelm.native.lock import alone
from edgelm.native.source import Progress, native_folder

RUNNER = "edgelm-runner"

_SECONDS = 3600  # for a whole build
_SOURCES = ("CMakeLists.txt", "runner.cpp", "huge_pages.hpp", "model.hpp", "rates.hpp", "system.hpp")
_STEP = re.compile(rb"^\[(\d+)/(\d+)\] ", re.MULTILINE)  # of ninja
_TOLD_LINES = 12  # of the log, in an error
# Of llama.cpp the library alone, on the CPU; its threads are its own.
_SETTINGS = {
    "CMAKE_BUILD_TYPE": "Release", "BUILD_SHARED_LIBS": "OFF", "LLAMA_BUILD_COMMON": "OFF", "LLAMA_OPENSSL": "OFF",
    "GGML_OPENMP": "OFF", "GGML_CCACHE": "OFF", "GGML_CPU_REPACK": "OFF",
    "LIBRARY_FLAGS": "-O1", "KERNEL_FLAGS": "-O3",
}  # fmt: skip


def built(target: str, progress: Progress = lambda what, done, of: None) -> Path:
    """The runner for "host", "aarch64" or "android-ndk"; the first call for a target takes minutes.

    Raises:
        MissingPackage: a compiler or build tool is not installed.
        Offline: the source of llama.cpp is not here and cannot be fetched.
        EdgelmError: the build failed; the log's end is in the error.
    """
    chosen, sources = compiler(target), _sources()
    runner = _place(chosen, sources)
    if runner.is_file():
        return runner
    work = native_folder() / f"build-{target}-{_library(chosen)}"
    with alone(work, lambda: progress("wait for another process that builds the runner", 0, 1)) as lock:
        if not runner.is_file():
            _build(chosen, sources, work, runner, lock, progress)
    return runner


def is_built(target: str) -> bool:
    """Whether `built` has nothing to do.

    Raises:
        MissingPackage: a compiler is not installed.
    """
    return _place(compiler(target), _sources()).is_file()


def tools(target: str) -> dict[str, str]:
    """What a target's runner is made of, by name and version."""
    made_by = compiler(target).version.partition(",")[0]
    return {"llama.cpp": f"{source.PACKAGE} {source.VERSION}", "compiler": made_by}


def _sources() -> dict[str, bytes]:
    return {name: (files("edgelm.native") / name).read_bytes() for name in _SOURCES}


def _library(chosen: Compiler) -> str:
    """What decides about the library: the runner's own sources are compiled on top of it."""
    return _digest(source.SHA256, chosen.version, chosen.settings, _SETTINGS)


def _place(chosen: Compiler, sources: dict[str, bytes]) -> Path:
    whole = _digest(_library(chosen), *(sha256_bytes(data) for data in sources.values()))
    return native_folder() / f"{chosen.target}-{whole}" / RUNNER


def _digest(*parts: object) -> str:
    return sha256_bytes(canonical_json(parts))[:16]


def _build(
    chosen: Compiler, sources: dict[str, bytes], work: Path, runner: Path, lock: int, progress: Progress
) -> None:
    """Compile in the folder `work`, which a killed build leaves to the next one, and put the runner in its place."""
    cmake, ninja = tool("cmake"), tool("ninja")
    llama_cpp = source.source(progress)
    label = f"build the runner ({chosen.target})"
    progress(label, 0, 1)
    with disk_errors(work):
        for name, data in sources.items():
            path = work / "sources" / name
            if not path.is_file() or path.read_bytes() != data:
                write_bytes(path, data)
        arguments = chosen.prepare(work / "tools")
    made = work / "made"
    settings = [f"-D{name}={value}" for name, value in (_SETTINGS | {"LLAMA_CPP": str(llama_cpp)}).items()]
    configure = [str(cmake), "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}", "-S", str(work / "sources"),
                 "-B", str(made), *arguments, *settings]  # fmt: skip
    log = work / "log.txt"
    log.unlink(missing_ok=True)
    end = time.monotonic() + _SECONDS
    if (made / "CMakeCache.txt").is_file() and not (made / "build.ninja").is_file():
        shutil.rmtree(made)  # a kill in the middle of configuring leaves what the next one stumbles over
    _run(configure, log, end, lock, lambda done, of: None)
    jobs = len(os.sched_getaffinity(0))
    _run([str(ninja), "-C", str(made), f"-j{jobs}", RUNNER], log, end, lock,
         lambda done, of: progress(label, done, of))  # fmt: skip
    write_bytes(runner, without_symbols((made / RUNNER).read_bytes()), 0o755)


def _run(command: list[str], log: Path, end: float, lock: int, step: Callable[[int, int], object]) -> None:
    """Run a command of the build, its words added to the log; it ends with us, or at the time limit."""
    with log.open("ab") as sink, log.open("rb") as reader:
        sink.write(f"$ {shlex.join(command)}\n".encode())
        sink.flush()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, pass_fds=(lock,),
            start_new_session=True,
        )  # fmt: skip
        try:
            code = None
            while code is None:
                code = _waited(process)
                for done, of in _STEP.findall(reader.read()):
                    step(int(done), int(of))
                if code is None and time.monotonic() > end:
                    raise _failed(log, f"it took more than {_SECONDS} s")
            if code:
                raise _failed(log, f"{Path(command[0]).name} ended with {code}")
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _waited(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code; None if it has not ended yet."""
    try:
        return process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return None


def _failed(log: Path, why: str) -> EdgelmError:
    with log.open(encoding="utf-8", errors="replace") as file:
        told = "".join(deque(file, maxlen=_TOLD_LINES)).rstrip()
    return EdgelmError("the runner could not be built", why=f"{why}; its last words:\n{told}", mend=f"see {log}")
