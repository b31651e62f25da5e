"""Which compiler a target gets, and what is said where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgelm.errors import MissingInput, MissingPackage, UnknownName
from edgelm.native import compilers
from edgelm.native.compilers import compiler, tool


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without programs and packages; what the folder holds is there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CC", "CXX", "ANDROID_NDK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compilers.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(compilers.sys, "executable", str(tmp_path / "none" / "python"))
    return tmp_path


def program(path: Path, says: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def test_without_compilers_it_says_what_to_install(bare: Path) -> None:
    for target in ("host", "aarch64"):
        with pytest.raises(MissingPackage, match="ziglang"):
            compiler(target)
    for name, package in (("cmake", "cmake"), ("ninja", "ninja-build")):
        with pytest.raises(MissingPackage, match=f"apt-get install {package}"):
            tool(name)
    with pytest.raises(UnknownName, match="aarch64"):
        compiler("aarch46")


def test_the_systems_compiler_is_taken_for_this_machine(bare: Path) -> None:
    for name in ("cc", "c++", "cmake"):
        program(bare / name, f"{name} (Debian) 12.2")
    found = compiler("host")
    assert found.settings["CMAKE_CXX_COMPILER"] == str(bare / "c++")
    assert found.settings["GGML_NATIVE"] == "ON"
    assert found.version.startswith("cc (Debian) 12.2, ")
    assert tool("cmake") == bare / "cmake"


def test_zig_is_wrapped_for_aarch64(bare: Path, tmp_path: Path) -> None:
    program(bare / "zig", "0.17.1")
    found = compiler("aarch64")
    assert found.version.startswith("zig 0.17.1 -target aarch64-linux-musl")
    assert compiler("host").version != found.version
    arguments = found.prepare(tmp_path / "tools here")
    assert f"-DCMAKE_C_COMPILER={tmp_path}/tools here/cc" in arguments
    assert "-DGGML_NATIVE=OFF" in arguments
    (bare / "zig").write_text('#!/bin/sh\necho "$ZIG_LOCAL_CACHE_DIR" "$@"\n')
    for name, kind in (("cc", "cc"), ("c++", "c++"), ("ar", "ar"), ("ranlib", "ranlib")):
        said = subprocess.run(
            [tmp_path / "tools here" / name, "x y"], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        assert said.startswith(f"{tmp_path}/tools here/zig {kind} ")
        assert said.endswith("x y\n")
        assert ("-static" in said) == (kind in ("cc", "c++"))


def test_the_ndk_is_taken_where_it_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingInput, match="ANDROID_NDK is not set"):
        compiler("android-ndk")
    monkeypatch.setenv("ANDROID_NDK", str(bare))
    with pytest.raises(MissingInput, match="no Android NDK"):
        compiler("android-ndk")
    chain = bare / "build" / "cmake" / "android.toolchain.cmake"
    chain.parent.mkdir(parents=True)
    chain.touch()
    (bare / "source.properties").write_text("Pkg.Desc = Android NDK\nPkg.Revision = 27.2.1\n")
    found = compiler("android-ndk")
    assert found.version == "ndk 27.2.1"
    assert found.settings["CMAKE_TOOLCHAIN_FILE"] == str(chain)
    assert found.settings["ANDROID_ABI"] == "arm64-v8a"


def test_this_machine_has_what_it_says() -> None:
    if not shutil.which("cc"):
        pytest.skip("no compiler is installed (apt-get install g++)")
    assert compiler("host") == compiler("host")
