"""The compiler of each target: what it is called with, and which of its settings shape the runner."""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from edgelm.errors import BadOption, MissingInput, MissingPackage, UnknownName

TARGETS = ("host", "aarch64", "android-ndk")

_SECONDS = 60  # for a compiler to say its version
# Phones since 2019 have these; without `fullfp16` products of half-precision matrices take twice as long.
_AARCH64 = "generic+v8_2a+dotprod+fullfp16"
_NDK_ARCH = "armv8.2-a+dotprod+fp16"
_NDK_PLATFORM = "android-26"
_TOOLS = {"cmake": "cmake", "ninja": "ninja-build"}  # wheels of the same names, and Debian's packages


@dataclass(frozen=True)
class Compiler:
    """How a target is compiled.

    `wrappers` are small scripts by name, written to a folder before the build; `settings` go to CMake, with `{folder}`
    standing for that folder.
    """

    target: str
    version: str  # of the compiler; another one makes another runner
    settings: dict[str, str]
    wrappers: dict[str, str] = field(default_factory=dict)

    def prepare(self, folder: Path) -> list[str]:
        """Write the wrappers to `folder`; the arguments of CMake."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.wrappers.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        return [f"-D{name}={value.format(folder=folder)}" for name, value in self.settings.items()]


def compiler(target: str) -> Compiler:
    """The compiler of a target: "host", "aarch64" (static, for Linux and Android) or "android-ndk".

    Raises:
        UnknownName: there is no such target.
        MissingPackage: no compiler is installed; it says what to install.
        MissingInput: ANDROID_NDK is not set, or names no NDK.
    """
    if target == "host":
        return _system() or _zig(target, "native", "native", {"GGML_NATIVE": "ON"}, static=False)
    if target == "aarch64":
        cross = {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": "aarch64", "GGML_NATIVE": "OFF"}
        return _zig(target, "aarch64-linux-musl", _AARCH64, cross, static=True)
    if target == "android-ndk":
        return _ndk()
    raise UnknownName("target of the runner", target, TARGETS)


def tool(name: str) -> Path:
    """The program `cmake` or `ninja`: of the Python environment, else of the system.

    Raises:
        MissingPackage: it is not installed.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        error = MissingPackage(name, "deploy")
        error.mend += f", or apt-get install {_TOOLS[name]}"
        raise error
    return Path(found)


def _system() -> Compiler | None:
    """The system's own compiler, tuned to this processor."""
    cc, cxx = (os.environ.get("CC") or shutil.which("cc")), (os.environ.get("CXX") or shutil.which("c++"))
    if not cc or not cxx:
        return None
    settings = {"CMAKE_C_COMPILER": cc, "CMAKE_CXX_COMPILER": cxx, "GGML_NATIVE": "ON"}
    version = f"{_first_line([cc, '--version'])}, {_processor()}"
    return Compiler("host", version, settings | {"CMAKE_EXE_LINKER_FLAGS": "-s"})


def _zig(target: str, triple: str, cpu: str, settings: dict[str, str], *, static: bool) -> Compiler:
    """Zig's clang, which brings headers and libraries of its own."""
    found = importlib.util.find_spec("ziglang")
    inside = Path(found.origin).parent / "zig" if found and found.origin else None
    program = str(inside) if inside and inside.is_file() else shutil.which("zig")
    if program is None:
        error = MissingPackage("ziglang", "deploy")
        if target == "host":
            error.mend += ", or apt-get install g++"
        raise error
    zig = shlex.quote(program)
    # What it compiles for itself, such as its C++ library, stays in the folder of the build. It does so anew for other
    # ways to optimise and to strip: the checks before a build must ask for the same as the build.
    head = '#!/bin/sh\nexport ZIG_GLOBAL_CACHE_DIR="${0%/*}/zig" ZIG_LOCAL_CACHE_DIR="${0%/*}/zig"\n'
    chosen = f"-target {triple} -mcpu={cpu} -O2" + (" -static" if static else "")
    wrappers = {
        "cc": f'{head}exec {zig} cc {chosen} "$@"\n',
        "c++": f'{head}exec {zig} c++ {chosen} "$@"\n',
        "ar": f'{head}exec {zig} ar "$@"\n',
        "ranlib": f'{head}exec {zig} ranlib "$@"\n',
    }
    made_of = {
        "CMAKE_C_COMPILER": "{folder}/cc", "CMAKE_CXX_COMPILER": "{folder}/c++",
        "CMAKE_AR": "{folder}/ar", "CMAKE_RANLIB": "{folder}/ranlib",
    }  # fmt: skip
    version = f"zig {_first_line([program, 'version'])} {chosen}" + (f", {_processor()}" if cpu == "native" else "")
    return Compiler(target, version, settings | made_of, wrappers)


def _ndk() -> Compiler:
    """The Android NDK's clang, for Android's own C library."""
    named = os.environ.get("ANDROID_NDK", "")
    chain = Path(named) / "build" / "cmake" / "android.toolchain.cmake"
    properties = Path(named) / "source.properties"
    if not named or not chain.is_file():
        what = f"{named} is no Android NDK" if named else "ANDROID_NDK is not set"
        raise MissingInput(what, why=f"{chain} would be read" if named else "", mend="set it to the NDK's folder")
    lines = properties.read_text().splitlines() if properties.is_file() else []
    revision = next((line.partition("=")[2].strip() for line in lines if line.startswith("Pkg.Revision")), "unknown")
    settings = {
        "CMAKE_TOOLCHAIN_FILE": str(chain), "ANDROID_ABI": "arm64-v8a", "ANDROID_PLATFORM": _NDK_PLATFORM,
        "ANDROID_STL": "c++_static", "GGML_NATIVE": "OFF", "GGML_CPU_ARM_ARCH": _NDK_ARCH,
        "CMAKE_EXE_LINKER_FLAGS": "-s",
    }  # fmt: skip
    return Compiler("android-ndk", f"ndk {revision}", settings)


def _first_line(command: list[str]) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise BadOption(f"{command[0]} does not run", why=str(error), mend="mend it, or set CC and CXX") from None
    return (answer.splitlines() or [""])[0]


def _processor() -> str:
    """What a runner tuned to this processor depends on; one in a shared cache must not run on another."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return f"{platform.machine()} {' '.join(sorted(flags.partition(':')[2].split()))}"
