"""The tools: all that are missing are named at once, and a failure is explained."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

import pytest

from edgelm.deploy.apk import tools
from edgelm.errors import EdgelmError, MissingInput, NoSpace


def test_every_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(
        tools, "_FILES", {"framework": str(tmp_path / "framework.apk"), "smali": str(tmp_path / "smali")}
    )
    with pytest.raises(MissingInput) as refused:
        tools.find_tools()
    for package in ("aapt", "zipalign", "apksigner", "default-jre-headless", "android-framework-res", "libsmali-java"):
        assert package in refused.value.mend.split()
    assert "scripts/android-tools" in refused.value.mend
    assert str(tmp_path / "framework.apk") in refused.value.why


def test_one_missing_tool_names_one_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("aapt", "apksigner", "java", "keytool"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "there").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools, "_FILES", {"framework": str(tmp_path / "there"), "smali": str(tmp_path / "there")})
    with pytest.raises(MissingInput, match="not installed") as refused:
        tools.find_tools()
    assert refused.value.mend.endswith("apt-get install zipalign")


def test_a_failure_tells_the_last_words_and_no_secret() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('the key s3cret is wrong')", "s3cret"]
    with pytest.raises(EdgelmError, match="failed with code 1") as failed:
        tools.run(command, seconds=30, secret="s3cret")
    assert failed.value.why == "the key … is wrong"
    assert "s3cret" not in str(failed.value)


def test_commands_are_logged_as_they_would_be_typed_without_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, tools.__name__)
    command = [sys.executable, "-c", "print('a b')", "pass:s3cret"]
    tools.run(command, seconds=30, secret="s3cret")
    (shown,) = caplog.messages
    assert shlex.split(shown) == ["$", *command[:3], "pass:…"]


def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(EdgelmError, match="took more than 0 s"):
        tools.run([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.2)


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(EdgelmError, match="could not be started"):
        tools.run(["/no/such/program"], seconds=1)


def test_a_full_disk_is_said() -> None:
    with pytest.raises(NoSpace, match="no space left"):
        tools.run([sys.executable, "-c", "import sys; sys.exit('write: No space left on device')"], seconds=30)


def test_what_a_command_prints_and_what_it_is_told() -> None:
    command = [sys.executable, "-c", "import os; print(os.environ['WORD'])"]
    assert tools.run(command, seconds=30, environment={"WORD": "é"}) == "é\n"
