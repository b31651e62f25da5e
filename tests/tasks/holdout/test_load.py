"""Which tasks a folder holds, and what their protocols are called."""

import pytest

from edgelm.errors import BadFile, MissingInput
from edgelm.tasks.base import protocol
from edgelm.tasks.holdout.load import holdout_tasks

RIDDLES = """
from dataclasses import dataclass

from edgelm.chat import ask
from edgelm.tasks.base import Benchmark, Sample


@dataclass(frozen=True)
class Riddles(Benchmark):
    label = "riddles"
    version = "riddles-1"
    max_tokens = 3
    stop = ()

    def files(self, data):
        return ["riddles/rows.txt"]

    def samples(self, data):
        lines = data.read("riddles/rows.txt").decode().splitlines()
        return [Sample(f"riddles-{n}", n, ask(line), "x") for n, line in enumerate(lines)]

    def score(self, sample, answer):
        return 1_000_000 * (answer == sample.reference)
"""


def test_packs_and_task_files_are_tasks_and_all_else_is_data(holdout, choice, ethics):
    folder = holdout({
        "ethics.json": choice, "ethics.jsonl": ethics, "riddles.py": RIDDLES, "riddles/rows.txt": "one?\ntwo?",
        "sums.toml": 'kind = "free"\nprompt = "{q}="\nmatch = "number"\ndata = "rows/sums.jsonl"\nsummary = "Sums."\n',
        "rows/sums.jsonl": [{"q": "1+1", "answer": 2}], "README.md": "x", ".hidden.toml": "no", "rows/not.toml": "no",
    })  # fmt: skip
    tasks = {task.label: (task, data) for task, data in holdout_tasks(folder)}
    assert list(tasks) == ["ethics", "riddles", "sums"]
    assert [len(task.samples(data)) for task, data in tasks.values()] == [6, 2, 1]
    data = tasks["ethics"][1]
    assert {protocol(*pair) for pair in tasks.values()} == {f"holdout/{label}-{data.digest()[:8]}" for label in tasks}
    assert not (folder / "__pycache__").exists()


@pytest.mark.parametrize(
    "name", ["Ethics.json", "gsm8k.json", "mmlu_likelihood.toml", "é.json", "a b.json", f"{'x' * 65}.json"]
)
def test_names_that_are_taken_or_unfit_are_refused(holdout, choice, ethics, name):
    with pytest.raises(BadFile, match="name"):
        holdout_tasks(holdout({name: choice, "Ethics.jsonl": ethics}))


def test_two_tasks_of_one_name_are_refused(holdout, choice):
    with pytest.raises(BadFile, match="another task called 'a-b'"):
        holdout_tasks(holdout({"a-b.json": choice, "a_b.json": choice}))


def test_a_folder_with_nothing_to_ask_is_named(holdout, ethics, tmp_path):
    for folder in (holdout({"x.jsonl": ethics}), tmp_path / "none"):
        with pytest.raises(MissingInput):
            holdout_tasks(folder)


@pytest.mark.parametrize(("source", "said"), [
    ("x = 1", "defines no class of its own name"),
    ("class Riddles:\n    pass", "is no task"),
    ("import nothing_like_it", "line 1"),
    ("\n\nclass Riddles(", "line 3"),
    ("class Riddles:\n    def __init__(self):\n        raise RuntimeError('half\\nmade')", "line 3"),
    (RIDDLES.replace('"riddles"', '"puzzles"'), "label is 'puzzles'"),
    ("from edgelm.tasks.gsm8k import GSM8K as Riddles", "defines no class of its own name"),
])  # fmt: skip
def test_a_task_file_that_is_none_is_named_with_its_line(holdout, source, said):
    with pytest.raises(BadFile) as caught:
        holdout_tasks(holdout({"riddles.py": source}))
    assert said in str(caught.value) and "riddles.py" in caught.value.what and caught.value.mend
