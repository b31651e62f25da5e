"""The working folder in which OpenCompass 0.3.1 finds its data: written from the same files that our tasks read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

from edgelm.data.folder import DataFolder
from edgelm.tasks.longbench_subsets import SUBSETS

PLACES = {
    "gsm8k/test.jsonl": "data/gsm8k/test.jsonl",
    "commonsenseqa/dev_rand_split.jsonl": "data/commonsenseqa/dev_rand_split.jsonl",
    "chid/test_public.json": "data/FewCLUE/chid/test_public.json",
    "chid/dev_few_all.json": "data/FewCLUE/chid/dev_few_all.json",
    "humaneval/HumanEval.jsonl.gz": "data/humaneval/human-eval-v2-20210705.jsonl",
}
UNREAD = {  # training rows that the loaders insist on; nothing is made of them, so the test rows stand in
    "data/gsm8k/test.jsonl": "data/gsm8k/train.jsonl",
    "data/commonsenseqa/dev_rand_split.jsonl": "data/commonsenseqa/train_rand_split.jsonl",
}
ROWS = {
    "gsm8k": "data/gsm8k/test.jsonl", "commonsense_qa": "data/commonsenseqa/dev_rand_split.jsonl",
    "chid-test": "data/FewCLUE/chid/test_public.json", "chid-dev": "data/FewCLUE/chid/dev_few_all.json",
    "openai_humaneval": "data/humaneval/human-eval-v2-20210705.jsonl", "truthful_qa": "truthful_qa/generation.jsonl",
}  # fmt: skip


def lay_out(data: DataFolder, names: list[str], folder: Path) -> None:
    """Write what is made of a task's data files: the same rows, where OpenCompass looks for them."""
    longbench: dict[str, bytes] = {}
    for name in names:
        content = data.read(name)
        if name in PLACES:
            _write(folder / PLACES[name], gzip.decompress(content) if name.endswith(".gz") else content)
        elif name.startswith("bbh/tasks/"):
            _write(folder / "data/BBH/data" / Path(name).name, content)
        elif name.startswith("truthfulqa/"):
            rows = truthful_rows(content.decode("utf-8-sig"))
            _hub_set(folder / "truthful_qa", "validation", {"generation": _lines(rows)})
        elif name == "longbench/data.zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                longbench |= {subset: archive.read(f"data/{subset}.jsonl") for subset in SUBSETS}
        elif name.startswith("longbench/full/"):
            longbench[Path(name).stem] = content
    if longbench:
        _hub_set(folder / "THUDM/LongBench", "test", longbench)
    for rows, unread in UNREAD.items():
        if (folder / rows).is_file():
            shutil.copyfile(folder / rows, folder / unread)


def truthful_rows(table: str) -> list[dict[str, Any]]:
    """The CSV as the hub's `generation` set: lists are split at `;`, rows without references are left out."""
    return [
        {"question": row["Question"], "best_answer": row["Best Answer"],
         "correct_answers": [text.strip() for text in row["Correct Answers"].strip().split(";")],
         "incorrect_answers": [text.strip() for text in row["Incorrect Answers"].strip().split(";")]}
        for row in csv.DictReader(io.StringIO(table, newline="")) if row["Correct Answers"] and row["Incorrect Answers"]
    ]  # fmt: skip


def raw_rows(folder: Path, dataset: str) -> list[dict[str, Any]]:
    """The rows of a data set of OpenCompass's, as they lie in its working folder."""
    if dataset.startswith("bbh-"):
        return json.loads((folder / "data/BBH/data" / f"{dataset.removeprefix('bbh-')}.json").read_bytes())["examples"]
    if dataset.startswith("LongBench_"):
        path = folder / "THUDM/LongBench" / f"{dataset.removeprefix('LongBench_')}.jsonl"
    else:
        path = folder / ROWS[dataset]
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]


def _hub_set(folder: Path, split: str, subsets: dict[str, bytes]) -> None:
    """A local data set as `load_dataset` reads it: JSON lines, and a README.md that names them by configuration."""
    header = ["---", "configs:"]
    for subset, lines in subsets.items():
        _write(folder / f"{subset}.jsonl", lines)
        header += [f"- config_name: {subset}", "  data_files:", f"  - split: {split}", f"    path: {subset}.jsonl"]
    _write(folder / "README.md", "\n".join([*header, "---", ""]).encode())


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
