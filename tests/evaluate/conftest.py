"""What evaluations leave (reports made from marks), and what makes them: an engine, rows, a model."""

import importlib
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.files import JsonLog, write_bytes
from edgelm.report import FULL_MARK, Answer, Report, SubsetScore, TaskScore, answers_log, mean_percent

SUITE = "opencompass-0.3.1"


@pytest.fixture
def make_answers() -> Callable[..., list[Answer]]:
    """`make_answers([1, 0, None], subset="x", texts=[…])`: answers with these marks (of 1), in order."""

    def make(
        marks: Any, subset: str | None = None, texts: Any = (), task: str = "gsm8k", **fields: Any
    ) -> list[Answer]:
        given = {"tokens": 5, "prompt_tokens": 100, "finish": "stop"} | fields
        name = task if subset is None else f"{task}-{subset}"
        return [
            Answer(key=f"{name}{n}", sample=f"{name}-{n}", subset=subset, text=texts[n] if texts else f"it is {n}",
                   mark=None if mark is None else round(mark * FULL_MARK), **given)
            for n, mark in enumerate(marks)
        ]  # fmt: skip

    return make


@pytest.fixture
def make_score() -> Callable[..., TaskScore]:
    """`make_score(answers, of=20)`: the score of a task whose answers have these marks, the mean of all or as given."""

    def make(answers: list[Answer], **fields: Any) -> TaskScore:
        marks = defaultdict(list)
        for answer in answers:
            if answer.mark is not None:
                marks[answer.subset].append(answer.mark)
        given = {
            "protocol": f"{SUITE}/gsm8k-1d7fe4", "prompting": "chat", "engine": {"engine": "hf", "batch": 8},
            "samples": len(answers), "of": len(answers),
            "score": mean_percent(mark for own in marks.values() for mark in own),
            "subsets": {name: SubsetScore(score=mean_percent(own), samples=len(own))
                        for name, own in marks.items() if name is not None},
        }  # fmt: skip
        return TaskScore(**given | fields)

    return make


@pytest.fixture
def make_report() -> Callable[..., Report]:
    """`make_report({"gsm8k": score}, speed=…)`: a report with these scores."""

    def make(tasks: dict[str, TaskScore], **fields: Any) -> Report:
        given = {"checkpoint": "ab" * 32, "name": "tiny", "parameters": 1000, "bytes": 4000, "dtypes": {"F32": 9}}
        return Report(**given | fields, tasks=tasks)

    return make


@pytest.fixture
def write_report(make_report: Any) -> Callable[..., Any]:
    """`write_report(folder, {"gsm8k": (score, answers)})`: a report folder."""

    def write(folder: Any, tasks: dict[str, tuple[TaskScore, list[Answer]]], **fields: Any) -> Any:
        for task, (_, answers) in tasks.items():
            rows = (JsonLog.line(each.model_dump(mode="json", exclude_none=True)) for each in answers)
            write_bytes(answers_log(folder, task).path, b"".join(rows))
        make_report({task: score for task, (score, _) in tasks.items()}, **fields).save(folder)
        return folder

    return write


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of an engine without a model; other processes that this one starts can import it, too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    module = importlib.import_module("parrot")
    module.Parrot.asked.clear()
    module.Parrot.opened.clear()
    return module


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The miniature suite: 40 rows of each task."""
    from edgelm.data.folder import DataFolder
    from edgelm.data.miniature import write

    folder = tmp_path_factory.mktemp("data") / "suite"
    write(folder, rows=40, train_rows=8)
    return DataFolder(folder)


@pytest.fixture(scope="session")
def tiny(make_checkpoint: Any) -> Path:
    """A checkpoint of one small layer, every second token of which ends an answer, so that answers are short."""
    folder = make_checkpoint("llama", num_hidden_layers=1, hidden_size=32, intermediate_size=32)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(1, 300, 2))}))
    return folder


@pytest.fixture
def finished() -> Callable[[Path], dict[str, bytes]]:
    """`finished(folder)`: what a report consists of, byte for byte."""

    def read(folder: Path) -> dict[str, bytes]:
        names = [*sorted((folder / "answers").glob("*.jsonl")), folder / "report.json"]
        return {path.name: path.read_bytes() for path in names}

    return read
