from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.compress.base import Step
from edgelm.compress.depth import Depth
from edgelm.compress.run import compress
from edgelm.compress.stream import model as stream
from edgelm.compress.stream.saved import work_folder
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource
from edgelm.errors import BadOption, Unsupported

SMALL: Any = {"tokens": 600, "sequence": 48}
RECIPE: list[Step] = [Width(112), Depth(1), Width(96)]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def checkpoint(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    return Checkpoint(make_checkpoint("qwen2"))


def killed_after(monkeypatch: pytest.MonkeyPatch, puts: int) -> list[int]:
    """Let the process end before a layer is written for the `puts`-th time; the numbers of the layers written."""
    real, written = stream.Model.put_layer, list[int]()

    def put(self: stream.Model, number: int, tensors: Any) -> None:
        if len(written) == puts:
            raise Killed
        written.append(number)
        real(self, number, tensors)

    monkeypatch.setattr(stream.Model, "put_layer", put)
    return written


@pytest.mark.parametrize("puts", [0, 2, 4, 6])
def test_a_run_goes_on_where_it_was(
    checkpoint: Checkpoint, texts: list[TextSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, puts: int
) -> None:
    whole = compress(checkpoint, RECIPE, tmp_path / "whole", texts=texts, **SMALL)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, puts)
        compress(checkpoint, RECIPE, tmp_path / "out", texts=texts, **SMALL)
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.work").is_dir()
    with monkeypatch.context() as patch:
        written = killed_after(patch, 100)
        resumed = compress(checkpoint, RECIPE, tmp_path / "out", texts=texts, **SMALL)
    assert len(written) == 7 - puts  # four layers, then three: none is made twice
    assert resumed.digest == whole.digest
    assert not (tmp_path / ".out.work").exists()


def test_what_another_run_left_is_not_gone_on_from(
    checkpoint: Checkpoint, texts: list[TextSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 3)
        compress(checkpoint, RECIPE, tmp_path / "out", texts=texts, **SMALL)
    with monkeypatch.context() as patch:
        written = killed_after(patch, 100)
        other = compress(checkpoint, RECIPE, tmp_path / "out", texts=texts, **SMALL, seed=5)
    assert len(written) == 7
    assert other.digest == compress(checkpoint, RECIPE, tmp_path / "same", texts=texts, **SMALL, seed=5).digest


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with work_folder(tmp_path / "out", {"a": 1}), pytest.raises(BadOption, match="another run is making"), \
            work_folder(tmp_path / "out", {"a": 1}):  # fmt: skip
        pass


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unsupported), work_folder(tmp_path / "out", {}) as folder:
        (folder / "half").write_text("x")
        raise Unsupported("no", mend="none")
    assert list(tmp_path.iterdir()) == []


RUN = """
import sys
from edgelm.cli import main
sys.argv = ["edgelm", "compress", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_killed_at_any_moment(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def run(out: str, seconds: float | None = None) -> int:
        steps = ["width:ffn=112", "depth:drop=1", "width:ffn=96"]
        command = [sys.executable, "-c", RUN, str(checkpoint.path), *steps, "-o", str(tmp_path / out), "--offline",
                   "--calib-tokens", "1200", "--seq", "64"]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return process.wait()

    assert run("whole") == 0
    ends = [run("out", seconds) for seconds in (2.0, 3.5, 4.5, 5.0, 5.5)]
    assert ends.count(-signal.SIGKILL) >= 1
    assert run("out") == 0 or (tmp_path / "out").is_dir()
    assert Checkpoint(tmp_path / "out").digest == Checkpoint(tmp_path / "whole").digest
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "whole"]
