"""What is cut off an executable is not missed when it runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgelm.native.elf import without_symbols


def test_an_executable_without_symbols_still_runs(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no compiler for this machine (apt-get install gcc)")
    source, whole, cut = tmp_path / "a.c", tmp_path / "whole", tmp_path / "cut"
    source.write_text('#include <stdio.h>\nint filled = 7;\nint main(void) { printf("%d\\n", filled); return 3; }\n')
    subprocess.run([compiler, "-g", str(source), "-o", str(whole)], check=True, timeout=60)
    cut.write_bytes(without_symbols(whole.read_bytes()))
    cut.chmod(0o755)
    assert cut.stat().st_size < whole.stat().st_size
    done = subprocess.run([cut], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "7\n")
    assert without_symbols(cut.read_bytes()) == cut.read_bytes()


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01", b"\x7fELF\x02\x01" + bytes(100)])
def test_other_files_stay_as_they_are(data: bytes) -> None:
    assert without_symbols(data) == data
