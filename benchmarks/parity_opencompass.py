"""A real OpenCompass 0.3.1 in a process of its own: asked for marks row by row, or run from one end to the other."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LAUNCHER = """
import sys

import mmengine.config.utils as parser

asked = parser._is_builtin_module
parser._is_builtin_module = lambda name: name.split(".")[0] in sys.stdlib_module_names or asked(name)

from opencompass.cli.main import main

main()
"""  # inside a virtual environment the parser takes `os` for a configuration, and bbh_gen fails
DATASETS = (
    "commonsenseqa_7shot_cot_gen_734a22", "FewCLUE_chid_gen", "humaneval_gen", "bbh_gen", "gsm8k_gen", "truthfulqa_gen",
    "longbench/longbench_datasets",  # plain `longbench` finds every subset twice
)  # fmt: skip
MODEL, STAMP = "mute", "20240101_000000"
Answers = dict[str, list[tuple[int, str]]]  # by OpenCompass's names of the data sets: row and answer
# The data set cache is the folder's own: the user's goes by a data set's name, and would give older rows of that name.
SETTINGS = {
    "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "HF_DATASETS_CACHE": "cache",
}  # fmt: skip


@dataclass(frozen=True)
class OpenCompass:
    """The environment's python, and the working folder that `parity_layout` fills."""

    python: Path
    folder: Path

    def marks(self, answers: Answers) -> dict[str, Any]:
        """What its own evaluators say of the answers, by data set; see `parity_inside.py`."""
        asked, marked = self.folder / "answers.json", self.folder / "marks.json"
        asked.write_text(json.dumps(answers))
        self._run(str(Path(__file__).with_name("parity_inside.py")), asked.name, marked.name)
        return json.loads(marked.read_text())

    def evaluate(self, answers: Answers) -> tuple[dict[str, Any], list[list[str]]]:
        """Its results by data set and the rows of its summary's CSV, by `opencompass -m eval -r` over predictions.

        Every row of the data sets must be answered, in order.
        """
        work = self.folder / "outputs" / STAMP
        shutil.rmtree(work, ignore_errors=True)
        predictions = work / "predictions" / f"{MODEL}_hf"
        predictions.mkdir(parents=True)
        for name, pairs in answers.items():
            rows = {str(row): {"origin_prompt": "", "prediction": text} for row, text in pairs}
            (predictions / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False))
        (self.folder / "launcher.py").write_text(LAUNCHER)
        model = ("--hf-type", "chat", "--hf-path", MODEL)
        self._run("launcher.py", "--datasets", *DATASETS, *model, "-w", "outputs", "-m", "eval", "-r", STAMP, "--debug")
        results = {path.stem: json.loads(path.read_bytes()) for path in (work / "results").glob("*/*.json")}
        (summary,) = (work / "summary").glob("*.csv")
        with summary.open(newline="") as file:
            return results, [*csv.reader(file)]

    def _run(self, script: str, *arguments: str) -> None:
        """Run a script in the working folder; a failure ends the benchmark with its last words."""
        kept = {name: text for name, text in os.environ.items() if name not in ("DATASET_SOURCE", "COMPASS_DATA_CACHE")}
        shutil.rmtree(self.folder / SETTINGS["HF_DATASETS_CACHE"], ignore_errors=True)
        # -P: the folder of this benchmark has a module `evaluate`, too
        command = [str(self.python.absolute()), "-P", script, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=kept | SETTINGS, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"OpenCompass failed:\n{(done.stdout + done.stderr)[-6000:]}")
