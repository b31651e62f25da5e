"""A clean package to break: one small compressed model with answers, speed, bundle and proof, under the small rules."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Card, Checkpoint, Source
from edgelm.files import JsonLog, sha256_file, tree_files, write_json
from edgelm.pack import Entry, pack
from edgelm.report import FULL_MARK, Answer, Report, Speed, TaskScore, Workload, answers_log
from edgelm.rules import Rules
from edgelm.rules.miniature import Miniature

RIGHT = {"commonsenseqa": 2, "gsm8k": 3, "chid": 1}  # of four answers
PICTURE = b"\x89PNG\r\n\x1a\n"  # as much of one as is looked at


def make_report(folder: Path, checkpoint: Checkpoint) -> Path:
    """A report folder with the answers of all tasks, speed and memory."""
    tasks = {}
    for task, right in RIGHT.items():
        answers = [
            Answer(key=f"{number:064x}", sample=f"{task}-{number}", text="The answer is 4",
                   mark=FULL_MARK * (number < right), tokens=5, prompt_tokens=20, finish="stop")
            for number in range(4)
        ]  # fmt: skip
        with answers_log(folder, task) as log:
            log.append(answer.model_dump(mode="json", exclude_none=True) for answer in answers)
        tasks[task] = TaskScore(protocol=f"miniature-1/{task}-0123abcd", score=Fraction(25 * right), samples=4, of=4,
                                prompting="chat", engine={"name": "hf"})  # fmt: skip
    speed = Speed(workload=Workload(prompt_tokens=192, generated_tokens=64, repeats=3), device="local",
                  repeats_ns=[10**9, 2 * 10**9, 3 * 10**9], first_token_ns=[10**8] * 3, prefill=1.0, decode=1.0,
                  spread=1.0)  # fmt: skip
    Report(
        checkpoint=checkpoint.digest, name="tiny", parameters=checkpoint.parameters, bytes=checkpoint.bytes,
        dtypes=checkpoint.dtypes, tasks=tasks, speed=speed, memory={"host-peak": 300 << 20},
        made_by="edgelm",
    ).save(folder)  # fmt: skip
    return folder


def gguf(kind: int = 1) -> bytes:
    """A GGUF file of one tensor of 32 values; kind 1 is F16."""
    name = b"token_embd.weight"
    head = struct.pack("<4sIQQ", b"GGUF", 3, 1, 0) + struct.pack("<Q", len(name)) + name
    head += struct.pack("<IQIQ", 1, 32, kind, 0)
    return head + bytes(-len(head) % 32 + 64)


def make_bundle(folder: Path, checkpoint: Checkpoint) -> Path:
    """A bundle with one file, listed."""
    folder.mkdir()
    (folder / "model.gguf").write_bytes(gguf())
    listed = {"model.gguf": {"sha256": sha256_file(folder / "model.gguf"), "size": len(gguf())}}
    write_json(folder / "bundle.json", {"checkpoint": checkpoint.digest, "target": "gguf", "files": listed})
    return folder


@pytest.fixture(scope="session")
def rules() -> Rules:
    return Miniature()


@pytest.fixture(scope="session")
def clean(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, rules: Rules) -> Path:
    """A package without any finding; not to be changed."""
    card = Card(base="tiny/base", derivation="compressed", recipe=["depth:drop=1"])
    return make_package(make_checkpoint("llama", dtype="float16"), card, "compression", "base",
                        tmp_path_factory.mktemp("clean"), rules)  # fmt: skip


@pytest.fixture(scope="session")
def clean_from_scratch(
    make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, rules: Rules
) -> Path:
    """The same in the other track."""
    card = Card(derivation="from-scratch", recipe=["tokenizer", "pretrain"])
    return make_package(make_checkpoint("qwen2", dtype="float32"), card, "from-scratch", "model",
                        tmp_path_factory.mktemp("scratch"), rules)  # fmt: skip


def make_package(origin: Path, card: Card, track: str, slot: str, folder: Path, rules: Rules) -> Path:
    """A package in `folder`, from parts that lie beside it."""
    checkpoint = Checkpoint(origin)
    checkpoint.write_card(card.model_copy(update={"data": [Source(name="c4", tokens=1000)]}))
    source = folder / "source"
    source.mkdir()
    (source / "README.md").write_text("edgelm compress tiny/base depth:drop=1 -o out/base\n")
    (source / "requirements.txt").write_text("edgelm==0.1.0\n")
    entry = Entry(checkpoint.path, (make_report(folder / "report", checkpoint),),
                  make_bundle(folder / "bundle", checkpoint))  # fmt: skip
    package = folder / "package"
    pack({slot: entry}, team="red", track=track, rules=rules, source=source, out=package)
    (package / f"models/{slot}/proof").mkdir()
    (package / f"models/{slot}/proof/app.png").write_bytes(PICTURE)
    Breakable(package).relist()
    return package


@pytest.fixture
def package(clean: Path, tmp_path: Path) -> Breakable:
    """A copy of the clean package, to be broken."""
    return Breakable(Path(shutil.copytree(clean, tmp_path / "package")))


@dataclass(frozen=True)
class Breakable:
    """A package with what tests need to change it."""

    path: Path
    gguf = staticmethod(gguf)

    @property
    def model(self) -> Path:
        """The folder of its only model."""
        return self.path / "models/base"

    @property
    def weights(self) -> Path:
        return self.model / "checkpoint/model.safetensors"

    def relist(self) -> None:
        """List the files as they are now, so that only the break itself is found."""
        files = [
            {"path": name, "size": (self.path / name).stat().st_size, "sha256": sha256_file(self.path / name)}
            for name in tree_files(self.path)
            if name != "edgelm.json"
        ]
        self.edit("edgelm.json", files=files)

    def refit(self) -> None:
        """Give report and bundle the digest of the checkpoint as it is now, and list all files."""
        digest = Checkpoint(self.model / "checkpoint").digest
        for name in ("report/report.json", "bundle/bundle.json"):
            self.edit(f"models/base/{name}", checkpoint=digest)
        self.relist()

    def edit(self, name: str, **changes: object) -> None:
        """Change keys of a JSON file; the value `...` removes its key."""
        content = json.loads((self.path / name).read_text()) | changes
        write_json(self.path / name, {key: value for key, value in content.items() if value is not ...})

    def edit_config(self, **changes: object) -> None:
        self.edit("models/base/checkpoint/config.json", **changes)
        self.refit()

    def edit_card(self, **changes: object) -> None:
        self.edit("models/base/card.json", **changes)
        self.relist()

    def edit_task(self, **changes: object) -> None:
        """Change what report.json says of one task."""
        tasks = json.loads((self.model / "report/report.json").read_text())["tasks"]
        self.edit("models/base/report/report.json", tasks=tasks | {"gsm8k": tasks["gsm8k"] | changes})
        self.relist()

    def add_task(self, label: str, **changes: object) -> None:
        """Put another task beside them, with the answers of one."""
        tasks = json.loads((self.model / "report/report.json").read_text())["tasks"]
        self.edit("models/base/report/report.json", tasks=tasks | {label: tasks["gsm8k"] | changes})
        answers = self.model / "report/answers"
        shutil.copyfile(answers / "gsm8k.jsonl", answers / f"{label}.jsonl")
        self.relist()

    def edit_answers(self, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        """Rewrite the answers with sound checksums."""
        path = self.model / "report/answers/gsm8k.jsonl"
        path.write_bytes(b"".join(JsonLog.line(row) for row in change(JsonLog(path).read())))
        self.relist()

    def rewrite(self, name: str, old: str, new: str) -> None:
        """Replace text in a file."""
        text = (self.path / name).read_text()
        assert old in text
        (self.path / name).write_text(text.replace(old, new))
        self.relist()

    def write(self, name: str, data: str | bytes = "x") -> None:
        """Write a file and list it."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        self.relist()

    def remove(self, *names: str) -> None:
        """Remove files or folders and list what is left."""
        for name in names:
            path = self.path / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.relist()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name and list it so."""
        (self.path / old).rename(self.path / new)
        self.relist()

    def truncate(self) -> None:
        """Cut the last bytes off the weights."""
        os.truncate(self.weights, self.weights.stat().st_size - 10)
        self.refit()

    def twin(self, name: str = "other") -> Path:
        """A copy of the package beside it."""
        return Path(shutil.copytree(self.path, self.path.parent / name))

    def edit_tensors(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the weights' tensors and save them again."""
        from safetensors.torch import load, save

        tensors = load(self.weights.read_bytes())
        change(tensors)
        self.weights.write_bytes(save(tensors))
        self.refit()
