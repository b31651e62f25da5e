"""Golden marks for the tests: what a real OpenCompass 0.3.1 gives for decisive answers to our own rows.

    python benchmarks/parity_golden.py --opencompass VENV/bin/python --out tests/tasks/golden_marks [--bleu FOLDER]

As in `parity.py`. One file a task: {"task", "files": {name: text}, "marks": [[sample, answer, mark]]}, for TruthfulQA
[sample, answer, mark, bleu_max, bleu_diff]; a mark is a fraction of 1, or null where the row does not count.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from parity import TASKS, by_dataset
from parity_answers import answer
from parity_layout import lay_out, raw_rows
from parity_longbench import write_suite
from parity_opencompass import OpenCompass
from parity_rows import ANSWERS, FILES

from edgelm.data.folder import DataFolder
from edgelm.plugins import parse
from edgelm.tasks.base import Sample

DRAWN = 5  # answers by chance, to each row, beside the chosen ones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opencompass", type=Path, required=True, help="the python of a venv with OpenCompass 0.3.1")
    parser.add_argument("--bleu", type=Path, help="folder with the metric bleu, if the hub cannot be reached")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for spec, files in FILES.items():
        with tempfile.TemporaryDirectory() as folder:
            marks = golden_marks(spec, files, OpenCompass(given.opencompass, Path(folder)), given.bleu)
        table = ",\n  ".join(json.dumps(line, ensure_ascii=False) for line in marks)
        head = json.dumps({"task": spec, "files": files}, ensure_ascii=False, indent=1).removesuffix("\n}")
        (given.out / f"{spec}.json").write_text(f'{head},\n "marks": [\n  {table}\n ]\n}}\n')
        print(f"{spec}: {len(marks)} marks")


def golden_marks(spec: str, files: dict[str, str], peer: OpenCompass, bleu: Path | None) -> list[list[Any]]:
    """The lines of one task."""
    write_suite(peer.folder, "golden", {name: packed(name, text) for name, text in files.items()})
    if bleu:
        shutil.copytree(bleu, peer.folder / "bleu")
    task: Any = parse("tasks", spec)
    data = DataFolder(peer.folder)
    lay_out(data, task.files(data), peer.folder)
    samples = by_dataset(TASKS[spec], task.samples(data))
    answers = {name: answers_to(name, own, peer.folder) for name, own in samples.items()}
    told = peer.marks(answers)
    return [
        [samples[name][row].id, text, *record.values()]
        for name, pairs in answers.items()
        for (row, text), record in zip(pairs, told[name]["rows"], strict=True)
    ]


def packed(name: str, text: str) -> bytes:
    """The bytes of a data file."""
    return gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode()


def answers_to(dataset: str, samples: list[Sample], folder: Path) -> list[tuple[int, str]]:
    """The chosen answers and some by chance, for every row."""
    draw = random.Random(dataset)
    chosen = next(texts for name, texts in ANSWERS.items() if dataset.startswith(name))
    pairs = []
    for row, (sample, raw) in enumerate(zip(samples, raw_rows(folder, dataset), strict=True)):
        reference = sample.reference if isinstance(sample.reference, str) else ""
        pairs += [(row, text.replace("{}", reference)) for text in chosen]
        pairs += [(row, answer(dataset, raw, draw)) for _ in range(DRAWN)]
    return pairs


if __name__ == "__main__":
    main()
