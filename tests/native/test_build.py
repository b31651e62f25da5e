"""A build: told step by step, kept, done once, and explained when it fails. CMake and ninja are played by scripts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edgelm.errors import EdgelmError
from edgelm.native import build
from edgelm.native.build import built
from edgelm.native.compilers import Compiler

NINJA = """#!/bin/sh
echo run >> {count}
{before}
echo '[1/2] Building CXX object llama.o'
echo 'warning: [9/9] is no step here' >&2
sleep 0.5
echo '[2/2] Linking'
echo '#!/bin/sh' > "$2/edgelm-runner"
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and tools that do nothing yet."""
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build.source, "source", lambda progress: tmp_path)
    monkeypatch.setattr(
        build, "compiler", lambda target: Compiler(target, "cc 1, cpu", {"A": "{folder}/b"}, {"b": "x"})
    )
    monkeypatch.setattr(build, "tool", lambda name: tmp_path / name)
    play(tmp_path, "cmake", '#!/bin/sh\necho configured "$@"\nmkdir -p "$7"\n')
    play(tmp_path, "ninja", NINJA.format(count=tmp_path / "count", before=""))
    return tmp_path


def play(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def runs(work: Path) -> int:
    return len((work / "count").read_text().splitlines())


def test_it_is_built_once_and_told_in_steps(work: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    runner = built("host", lambda *step: seen.append(step))
    assert runner.read_text() == "#!/bin/sh\n"
    assert os.access(runner, os.X_OK)
    assert [step[1:] for step in seen] == [(0, 1), (1, 2), (2, 2)]
    assert {step[0] for step in seen} == {"build the runner (host)"}
    assert built("host") == runner
    assert runs(work) == 1
    assert built("aarch64") != runner
    log = next((work / "cache").rglob("build-host-*/log.txt")).read_text()
    assert "configured" in log
    assert "-DA=" in log
    assert "[2/2] Linking" in log


def test_another_compiler_or_source_makes_another_runner(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = built("host")
    monkeypatch.setattr(build, "compiler", lambda target: Compiler(target, "cc 2", {}))
    assert built("host") != first
    assert runs(work) == 2


def test_a_failed_build_tells_its_last_words_and_leaves_no_runner(work: Path) -> None:
    play(work, "ninja", NINJA.format(count=work / "count", before="echo 'fatal: no memory'; exit 9"))
    with pytest.raises(EdgelmError, match="ninja ended with 9") as caught:
        built("host")
    assert "fatal: no memory" in caught.value.why
    assert Path(caught.value.mend.removeprefix("see ")).is_file()
    assert not list((work / "cache").rglob("edgelm-runner"))
    play(work, "ninja", NINJA.format(count=work / "count", before=""))
    assert built("host").is_file()


def test_a_build_that_hangs_is_ended_with_its_children(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_SECONDS", 1)
    play(work, "ninja", f"#!/bin/sh\nsleep 60 &\necho $! > {work / 'child'}\nwait\n")
    start = time.monotonic()
    with pytest.raises(EdgelmError, match="more than 1 s"):
        built("host")
    assert time.monotonic() - start < 20
    child = Path(f"/proc/{(work / 'child').read_text().strip()}/status")
    for _ in range(100):
        if not child.exists() or "Z (zombie)" in child.read_text():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the compiler still runs")


def test_what_made_it_is_named(work: Path) -> None:
    assert build.tools("aarch64") == {"llama.cpp": "llama-cpp-python 0.3.36", "compiler": "cc 1"}
