"""Fixture: a command line, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from edgelm import cli


@pytest.fixture
def edgelm(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`edgelm("ls", "tasks")`: its exit code, and what it wrote to stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgelm", *map(str, words)])
        capfd.readouterr()  # what fixtures printed
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run
