"""`scripts/android-tools` installs what is missing, and says what it does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "android-tools"
FAKES = {
    "dpkg-query": 'case " $INSTALLED " in *" ${@: -1} "*) echo installed ;; *) echo not-installed ;; esac',
    "apt-get": 'echo "$*" >> "$CALLS"; case "$*" in *install*) [ -z "${FAILS-}" ] ;; esac',
    "sudo": 'exec "$@"',
    "id": "echo 0",
}
ALL = "aapt android-framework-res libsmali-java zipalign apksigner default-jre-headless"


@pytest.fixture
def run(tmp_path: Path) -> Any:
    for name, text in FAKES.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)

    def run(**variables: str) -> tuple[int, str, list[str]]:
        environment = {"CALLS": str(tmp_path / "calls"), "PATH": f"{tmp_path}:/usr/bin:/bin", **variables}
        result = subprocess.run(["bash", SCRIPT], capture_output=True, text=True, timeout=60, check=False,
                                env={**os.environ, **environment})  # fmt: skip
        calls = tmp_path / "calls"
        return result.returncode, result.stderr, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_nothing_is_done_where_all_is_there(run: Any) -> None:
    code, _, calls = run(INSTALLED=ALL)
    assert (code, calls) == (0, [])


def test_only_what_is_missing_is_installed(run: Any) -> None:
    code, said, calls = run(INSTALLED=ALL.replace("zipalign ", "").replace("aapt ", ""))
    assert code == 0
    assert "installing aapt zipalign" in said
    assert len(calls) == 1
    assert calls[0].endswith("install --yes --no-install-recommends aapt zipalign")


def test_a_failure_names_the_command(run: Any) -> None:
    code, said, calls = run(INSTALLED=ALL.replace("zipalign ", ""), FAILS="1")
    assert code == 2
    assert "sudo apt-get install zipalign" in said
    assert [call.split()[-1] for call in calls] == ["zipalign", "update", "zipalign"]
