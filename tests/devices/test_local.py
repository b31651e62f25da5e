import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.devices import local
from edgelm.devices.local import Local
from edgelm.errors import BadFile, BadOption, EdgelmError, InputError, MissingPackage, Unsupported
from edgelm.plugins import available, parse
from edgelm.report import Workload

WORKLOAD = Workload(prompt_tokens=8, generated_tokens=4, repeats=1)


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    return Checkpoint(make_checkpoint("llama"))


def measure_with(script: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, **settings: int) -> None:
    """Measure with another program in the child's place."""
    monkeypatch.setattr(local, "_COMMAND", ("-c", script))
    Local(**settings).measure(checkpoint, WORKLOAD, lambda *_: None)  # type: ignore[arg-type]


def test_it_is_the_only_device_in_its_folder_and_is_made_from_a_spec() -> None:
    assert available("devices")["local"].summary.startswith("The CPU or GPU")
    assert parse("devices", "local:device=cpu,dtype=float16,threads=2") == Local("cpu", "float16", 2)
    with pytest.raises(BadOption, match="threads=-1"):
        parse("devices", "local:threads=-1")


def test_a_killed_child_is_out_of_memory(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unsupported, match="ran out of memory") as caught:
        measure_with("import os; os.kill(os.getpid(), 9)", checkpoint, monkeypatch)
    assert str(checkpoint.path) in caught.value.what
    assert "killed" in caught.value.why


def test_a_line_torn_by_the_kill_is_no_fault_of_ours(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """import os; os.write(1, b'{"progress": ["load", 0, 3]}\\n{"progr'); os.kill(os.getpid(), 9)"""
    with pytest.raises(Unsupported, match="ran out of memory"):
        measure_with(script, checkpoint, monkeypatch)


def test_an_allocation_that_failed_is_named(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"error": {"kind": "out of memory", "why": "cannot allocate 7 bytes"}})
    with pytest.raises(Unsupported, match="ran out of memory") as caught:
        measure_with(f"print({line!r})", checkpoint, monkeypatch)
    assert caught.value.why == "cannot allocate 7 bytes"


def test_a_crash_is_our_fault_and_quotes_the_last_words(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EdgelmError, match=r"broke down \(exit code 1\)") as caught:
        measure_with("raise RuntimeError('the last words')", checkpoint, monkeypatch)
    assert not isinstance(caught.value, InputError)
    assert "the last words" in caught.value.why
    with pytest.raises(EdgelmError, match=r"broke down \(SIGABRT\)"):
        measure_with("import os; os.abort()", checkpoint, monkeypatch)


def test_a_child_that_takes_too_long_is_ended(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unsupported, match="not done after 1 s"):
        measure_with("import time; time.sleep(60)", checkpoint, monkeypatch, time_limit=1)


def test_the_childs_error_comes_back_as_it_was(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.dumps({"error": {"kind": "BadFile", "what": "w", "why": "y", "mend": "m"}})
    with pytest.raises(BadFile) as caught:
        measure_with(f"print({line!r})", checkpoint, monkeypatch)
    assert (caught.value.what, caught.value.why, caught.value.mend) == ("w", "y", "m")


def test_without_torch_the_package_is_named(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.importlib.util, "find_spec", lambda name: None if name == "torch" else sys)
    with pytest.raises(MissingPackage, match="torch"):
        Local().measure(checkpoint, WORKLOAD, lambda *_: None)
