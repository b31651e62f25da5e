"""The command answers at once: neither the package nor its help loads what is heavy."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "tokenizers", "numpy", "httpx", "jinja2", "matplotlib", "gguf", "safetensors"}
CPU_SECONDS = 0.3
HELP = "import sys; sys.argv = ['edgelm', '--help']; from edgelm.cli import main\ntry: main()\nexcept SystemExit: pass"


@pytest.mark.parametrize("code", ["import edgelm", HELP, "import edgelm.checkpoint", "import edgelm.report"])
def test_what_is_heavy_stays_unloaded(code):
    report = "\nimport sys, json; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    assert not HEAVY & set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["-c", "import edgelm"], ["-m", "edgelm", "--help"]])
def test_it_takes_less_than_the_blink_of_an_eye(arguments):
    assert min(_cpu_seconds([sys.executable, *arguments]) for _ in range(5)) < CPU_SECONDS


def _cpu_seconds(command):
    """User and system time of one run."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return usage.ru_utime + usage.ru_stime
