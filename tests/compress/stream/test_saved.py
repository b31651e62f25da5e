from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.compress import run
from edgelm.compress.base import Step
from edgelm.compress.depth import Depth
from edgelm.compress.run import compress
from edgelm.compress.stream import model as stream
from edgelm.compress.stream.saved import work_folder
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource
from edgelm.errors import BadFile, BadOption, NoSpace, Unsupported
from edgelm.plugins import parse

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


def test_a_full_disk_leaves_what_was_made(tmp_path: Path) -> None:
    with pytest.raises(NoSpace), work_folder(tmp_path / "out", {}) as folder:
        (folder / "layer").write_text("x")
        raise NoSpace("the disk is full", mend="make room")
    with work_folder(tmp_path / "out", {}) as folder:
        assert (folder / "layer").read_text() == "x"


def test_killed_while_speed_and_quality_are_noted(
    checkpoint: Checkpoint, texts: list[TextSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object) -> None:
        raise Killed

    vocab = [parse("compress", "vocab:keep=300"), Depth(1)]  # of which rows are kept
    whole = compress(checkpoint, vocab, tmp_path / "whole", texts=texts, **SMALL)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run, "note", end)
        compress(checkpoint, vocab, tmp_path / "out", texts=texts, **SMALL)
    assert any(tmp_path.glob(".out.work/0-vocab/rows-*.npy"))
    assert compress(checkpoint, vocab, tmp_path / "out", texts=texts, **SMALL).digest == whole.digest


def test_what_is_damaged_is_said_and_made_anew(
    checkpoint: Checkpoint, texts: list[TextSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocab = [parse("compress", "vocab:keep=300"), Width(112)]
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_after(patch, 1)
        compress(checkpoint, vocab, tmp_path / "out", texts=texts, **SMALL)
    for path in tmp_path.glob(".out.work/0-vocab/rows-*.npy"):
        path.write_bytes(b"")
    with pytest.raises(BadFile, match="is damaged"):
        compress(checkpoint, vocab, tmp_path / "out", texts=texts, **SMALL)
    assert compress(checkpoint, vocab, tmp_path / "out", texts=texts, **SMALL).has_weights


# In the order in which they come: a layer of the first step, a finished step, a layer of the last, the result.
SIGNS = (".out.work/0-width/ffn/layer-00000.json", ".out.work/1-depth/done.json",
         ".out.work/2-width/ffn/layer-00001.json", ".out.partial-*/model.safetensors")  # fmt: skip


def test_killed_at_any_moment(checkpoint: Checkpoint, texts: list[TextSource], tmp_path: Path) -> None:
    """By SIGKILL, as soon as there is the next sign of progress; all processes are copies of one that has imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["edgelm.compress.run", "transformers.models.qwen2.modeling_qwen2"])

    def run(out: str, sign: str = "") -> int | None:
        process = context.Process(target=compress, args=(checkpoint, RECIPE, tmp_path / out),
                                  kwargs={"texts": texts, **SMALL})  # fmt: skip
        process.start()
        while sign and process.is_alive() and not any(tmp_path.glob(sign)):
            time.sleep(0.001)
        if sign:
            process.kill()
        process.join()
        return process.exitcode

    assert run("whole") == 0
    for sign in SIGNS:
        assert not any(tmp_path.glob(sign))
        assert run("out", sign) == -signal.SIGKILL
        assert any(tmp_path.glob(sign)) and not (tmp_path / "out").exists()
    assert run("out") == 0
    assert Checkpoint(tmp_path / "out").digest == Checkpoint(tmp_path / "whole").digest
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "whole"]
