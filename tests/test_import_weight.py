"""The command answers at once: neither the package nor its help loads what is heavy."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "tokenizers", "numpy", "httpx", "jinja2", "matplotlib", "gguf", "safetensors"}
HELP = "import sys; sys.argv = ['edgelm', '--help']; from edgelm.cli import main\ntry: main()\nexcept SystemExit: pass"


@pytest.mark.parametrize(("code", "heavy"), [
    ("import edgelm", HEAVY), (HELP, HEAVY), ("import edgelm.checkpoint", HEAVY), ("import edgelm.report", HEAVY),
    ("import edgelm.cli.verify", {"torch", "transformers"}),  # a bad option is refused before
])  # fmt: skip
def test_what_is_heavy_stays_unloaded(code, heavy):
    report = "\nimport sys, json; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    assert not heavy & set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize(("code", "bare"), [
    ("import edgelm", "pass"), (HELP, "import typer, rich.progress"),
])  # fmt: skip
def test_it_takes_little_more_than_what_it_is_made_with(code, bare):
    """Beside each other, because a busy machine takes twice as long for both: 0.13 s in all on a quiet one."""
    pairs = [[_cpu_seconds([sys.executable, "-c", each]) for each in (code, bare)] for _ in range(5)]
    ours, theirs = (min(times) for times in zip(*pairs, strict=True))
    assert ours < 2 * theirs


def _cpu_seconds(command):
    """User and system time of one run."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_utime + usage.ru_stime
