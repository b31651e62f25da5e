"""The miniature suite: small train and test sets in the upstream formats of all seven benchmarks, from a seed.

All of it is written here and learnable by a model of one to three million parameters. With it comes training text
in the formats of the allowed training data (Alpaca, C4), made from the train rows and the facts behind them.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from edgelm.data.miniature_rows import BBH_HINTS, LONGBENCH_PROMPT, MAKERS, Row, sentences
from edgelm.errors import BadOption
from edgelm.files import sha256_bytes
from edgelm.folders import new_folder

NAME = "miniature-1"
CANARY = "Generated for edgelm's miniature suite; holds no row of a benchmark."
# Training rows of each set for 1,000 of `train_rows`.
SHARES = {
    "gsm8k": 190, "commonsenseqa": 330, "chid": 320, "boolean_expressions": 60, "word_sorting": 30,
    "humaneval": 30, "truthfulqa": 30, "longbench": 10,
}  # fmt: skip


def write(folder: Path, seed: int = 0, rows: int = 100, train_rows: int = 10_000) -> None:
    """Write the suite into a new folder; the same arguments give the same bytes.

    Args:
        folder: what to make; it appears whole or not at all.
        seed: of everything drawn.
        rows: test rows of each set.
        train_rows: training rows of all sets together, none of them a test row.

    Raises:
        BadOption: the folder exists and is not empty, or more rows are asked for than the small world has.
    """
    drawn = {name: _draw(name, seed, rows, train_rows * share // 1000) for name, share in SHARES.items()}
    test = {name: pair[0] for name, pair in drawn.items()}
    train = {name: pair[1] for name, pair in drawn.items()}
    files = _benchmarks(train, test) | _training_text(train, seed)
    files["exemplars.json"] = _json({"gsm8k": [], "commonsenseqa": []})
    with new_folder(folder) as partial:
        for name, data in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(data)
        digests = {name: sha256_bytes(data) for name, data in files.items()}
        (partial / "suite.json").write_bytes(_json({"name": NAME, "seed": seed, "files": digests}))


def _draw(name: str, seed: int, rows: int, train_rows: int) -> tuple[list[Row], list[Row]]:
    """Test rows, all different, and training rows, none of which asks what a test row asks."""
    draw = Random(f"{NAME}/{seed}/{name}")
    test: dict[str, Row] = {}
    for _ in range(rows * 100):
        if len(test) == rows:
            break
        row = MAKERS[name](draw)
        test.setdefault(row.question, row)
    else:
        raise BadOption(f"the small world has no {rows} different rows of {name}", mend="ask for fewer rows")
    train: list[Row] = []
    while len(train) < train_rows:
        row = MAKERS[name](draw)
        if row.question not in test:
            train.append(row)
    return list(test.values()), train


def _benchmarks(train: dict[str, list[Row]], test: dict[str, list[Row]]) -> dict[str, bytes]:
    """Every benchmark's files by their upstream paths."""
    files = {
        "gsm8k/train.jsonl": _lines(_records(train["gsm8k"])),
        "gsm8k/test.jsonl": _lines(_records(test["gsm8k"])),
        "commonsenseqa/train_rand_split.jsonl": _lines(_records(train["commonsenseqa"], "id", "train-{}")),
        "commonsenseqa/dev_rand_split.jsonl": _lines(_records(test["commonsenseqa"], "id", "dev-{}")),
        "chid/train_few_all.json": _lines(_records(train["chid"], "id")),
        "chid/dev_few_all.json": _lines(_records(train["chid"][: len(test["chid"])], "id")),
        "chid/test_public.json": _lines(_records(test["chid"], "id")),
        "humaneval/HumanEval.jsonl.gz": _stored_gzip(_lines(_records(test["humaneval"], "task_id", "HumanEval/{}"))),
        "truthfulqa/v1/TruthfulQA.csv": _csv(_records(test["truthfulqa"])),
        "longbench/config/dataset2prompt.json": _json({"multifieldqa_en": LONGBENCH_PROMPT}),
        "longbench/full/multifieldqa_en.jsonl": _lines(_records(test["longbench"], "_id", "miniature-{}")),
    }
    for name, hint in BBH_HINTS.items():
        files[f"bbh/tasks/{name}.json"] = _json({"canary": CANARY, "examples": _records(test[name])})
        files[f"bbh/cot-prompts/{name}.txt"] = f"{CANARY}\n-----\n{hint}".encode()
    return files


def _training_text(train: dict[str, list[Row]], seed: int) -> dict[str, bytes]:
    """Alpaca and C4 of the small world."""
    draw = Random(f"{NAME}/{seed}/training text")
    chat = [{"instruction": row.question, "input": "", "output": row.answer} for rows in train.values() for row in rows]
    draw.shuffle(chat)
    known = sentences()
    documents = [
        {"text": " ".join(draw.sample(known, 6)), "timestamp": "2026-01-01T00:00:00Z", "url": f"miniature:{number}"}
        for number in range(200)
    ]
    return {"alpaca/miniature.json": _json(chat), "c4/miniature.jsonl": _lines(documents)}


def _records(rows: Iterable[Row], key: str = "", form: str = "") -> list[dict[str, Any]]:
    """The upstream records, numbered under `key`: by plain numbers, or as `form` writes them."""
    return [({key: form.format(n) if form else n} if key else {}) | row.record for n, row in enumerate(rows)]


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"


def _lines(records: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def _csv(records: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode("utf-8-sig")  # upstream's file begins with a byte-order mark


def _stored_gzip(data: bytes) -> bytes:
    """A gzip file without compression and time, whose bytes no version of zlib can change."""
    sink = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=0, fileobj=sink, mtime=0) as file:
        file.write(data)
    return sink.getvalue()
