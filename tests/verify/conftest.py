"""A packed submission whose answers its own model gave, and what tests need to falsify a copy of it."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Card, Checkpoint, Source
from edgelm.data.folder import DataFolder
from edgelm.files import JsonLog, write_bytes
from edgelm.report import Report
from edgelm.rules.miniature import Miniature

TASKS = ("commonsenseqa", "gsm8k", "chid")


@pytest.fixture
def cheats(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of models that cheat."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("cheats")


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> DataFolder:
    """The miniature suite: 40 rows of each task."""
    from edgelm.data.miniature import write

    folder = tmp_path_factory.mktemp("data") / "suite"
    write(folder, rows=40, train_rows=8)
    return DataFolder(folder)


@pytest.fixture(scope="session")
def tiny(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    """A model of one small layer, every second token of which ends an answer, so that answers are short."""
    folder = make_checkpoint("llama", num_hidden_layers=1, hidden_size=32, intermediate_size=32)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(1, 300, 2))}))
    checkpoint = Checkpoint(folder)
    checkpoint.write_card(Card(base="tiny/base", derivation="compressed", data=[Source(name="c4")]))
    return checkpoint


@pytest.fixture(scope="session")
def honest(tiny: Checkpoint, suite: DataFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with the model's own answers to three tasks; not to be changed."""
    from edgelm.engines.hf import HF
    from edgelm.evaluate.run import evaluate
    from edgelm.pack import Entry, pack
    from edgelm.plugins import parse

    folder = tmp_path_factory.mktemp("honest")
    evaluate(tiny, [(parse("tasks", task), suite) for task in TASKS], HF(device="cpu"), folder / "report")
    pack({"base": Entry(tiny.path, (folder / "report",))}, team="red", track="compression", rules=Miniature(),
         out=folder / "package")  # fmt: skip
    return folder / "package"


@dataclass(frozen=True)
class Falsified:
    """A copy of the package, whose claims can be changed."""

    path: Path

    @property
    def folder(self) -> Path:
        """Its only report."""
        return self.path / "models/base/report"

    def answers(self, task: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        """Change the kept answers of a task."""
        log = JsonLog(self.folder / "answers" / f"{task}.jsonl")
        write_bytes(log.path, b"".join(JsonLog.line(row) for row in change(log.read())))

    def score(self, task: str, **changed: Any) -> None:
        """Change the claimed score of a task."""
        report = Report.load(self.folder)
        score = report.tasks[task].model_copy(update=changed)
        report.model_copy(update={"tasks": report.tasks | {task: score}}).save(self.folder)


@pytest.fixture
def falsified(honest: Path, tmp_path: Path) -> Falsified:
    """A copy of the honest package, to be falsified."""
    return Falsified(Path(shutil.copytree(honest, tmp_path / "package")))
