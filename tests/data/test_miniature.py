from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.data.miniature_rows import MAKERS
from edgelm.errors import BadOption
from edgelm.files import tree_files


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "miniature"
    write(folder, rows=20, train_rows=500)
    return folder


def _bytes(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tree_files(folder)}


def test_bytes_depend_on_the_seed_alone(suite: Path, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from edgelm.data.miniature import write; "
    code += "write(Path(sys.argv[1]), rows=20, train_rows=500)"
    again = tmp_path / "again"
    subprocess.run([sys.executable, "-c", code, again], check=True, env=os.environ | {"PYTHONHASHSEED": "77"})
    assert _bytes(again) == _bytes(suite)
    write(tmp_path / "other", seed=1, rows=20, train_rows=500)
    assert (tmp_path / "other/gsm8k/test.jsonl").read_bytes() != (suite / "gsm8k/test.jsonl").read_bytes()


def test_every_file_is_read_by_name_and_digest(suite: Path) -> None:
    data = DataFolder(suite, offline=True)
    assert data.suite == "miniature-1"
    for name in tree_files(suite):
        if name != "suite.json":
            assert data.read(name)
    assert len(data.jsonl("chid/test_public.json")) == 20


def test_columns_are_those_of_the_upstream_files(suite: Path, shared: Path) -> None:
    real = shared / "data"

    def keys(folder: Path, name: str) -> list[str]:
        return sorted(json.loads((folder / name).read_text(encoding="utf-8").split("\n")[0]))

    for name in ("gsm8k/test.jsonl", "commonsenseqa/dev_rand_split.jsonl", "chid/test_public.json"):
        assert keys(suite, name) == keys(real, name)
    header = "truthfulqa/v1/TruthfulQA.csv"
    assert (suite / header).read_bytes().split(b"\n")[0].strip() == (real / header).read_bytes().split(b"\n")[0].strip()
    for name in ("boolean_expressions", "word_sorting"):
        mine, upstream = (json.loads((f / f"bbh/tasks/{name}.json").read_text()) for f in (suite, real))
        assert (mine.keys(), mine["examples"][0].keys()) == (upstream.keys(), upstream["examples"][0].keys())
    humaneval = [_first(folder / "humaneval/HumanEval.jsonl.gz") for folder in (suite, real)]
    assert humaneval[0].keys() == humaneval[1].keys()
    upstream = _first(real / "longbench/full/multifieldqa_zh.jsonl.gz")
    assert keys(suite, "longbench/full/multifieldqa_en.jsonl") == sorted(upstream)


def _first(path: Path) -> dict:
    return json.loads(gzip.decompress(path.read_bytes()).split(b"\n")[0])


def test_no_training_row_asks_what_a_test_row_asks(suite: Path) -> None:
    questions = {row["question"] for row in _lines(suite / "gsm8k/test.jsonl")}
    training = json.loads((suite / "alpaca/miniature.json").read_text(encoding="utf-8"))
    assert len(questions) == 20
    assert not any(question in row["instruction"] for row in training for question in questions)
    asked = {_asked(row) for row in _lines(suite / "commonsenseqa/dev_rand_split.jsonl")}
    assert not asked & {_asked(row) for row in _lines(suite / "commonsenseqa/train_rand_split.jsonl")}


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _asked(row: dict) -> str:
    return json.dumps([row["question"]["stem"], [choice["text"] for choice in row["question"]["choices"]]])


def test_references_are_true(suite: Path) -> None:
    for row in json.loads((suite / "bbh/tasks/boolean_expressions.json").read_text())["examples"]:
        assert str(eval(row["input"].removesuffix(" is"))) == row["target"]
    for row in json.loads((suite / "bbh/tasks/word_sorting.json").read_text())["examples"]:
        assert sorted(row["input"].split("List: ")[1].split()) == row["target"].split()
    for line in gzip.decompress((suite / "humaneval/HumanEval.jsonl.gz").read_bytes()).splitlines():
        row = json.loads(line)
        names: dict = {}
        exec(row["prompt"] + row["canonical_solution"] + row["test"], names)
        names["check"](names[row["entry_point"]])
    for row in _lines(suite / "longbench/full/multifieldqa_en.jsonl"):
        who = row["input"].split()[2]
        sentence = next(part for part in row["context"].split(".") if part.strip().startswith(who))
        assert sentence.endswith(row["answers"][0])
    with (suite / "truthfulqa/v1/TruthfulQA.csv").open(encoding="utf-8-sig", newline="") as file:
        assert all(row["Best Answer"] != row["Incorrect Answers"] for row in csv.DictReader(file))


@pytest.mark.parametrize("seed", range(30))
def test_training_answers_have_the_form_that_the_scorers_want(seed: int) -> None:
    row = MAKERS["commonsenseqa"](Random(seed))
    assert row.answer.endswith(f"So the answer is {row.record['answerKey']}.")
    chosen = "ABCDE".index(row.record["answerKey"])
    assert row.record["question"]["choices"][chosen]["text"] in row.answer
    row = MAKERS["chid"](Random(seed))
    assert next(sign for sign in row.answer if sign.isupper()) == "ABCDEFG"[row.record["answer"]]
    assert row.record["candidates"][row.record["answer"]] in row.answer
    row = MAKERS["gsm8k"](Random(seed))
    assert row.answer.split()[-1] == row.record["answer"].split("#### ")[1]


def test_questions_are_the_user_turns_of_the_protocol(shared: Path) -> None:
    golden = json.loads((shared / "oracle/golden/chat/chid-test.json").read_text(encoding="utf-8"))
    tail = golden["0"]["origin_prompt"][0]["prompt"].split("\nG. ")[1].partition("\n")[2]
    assert MAKERS["chid"](Random(0)).question.endswith(tail.removesuffix("\n"))


def test_too_many_rows_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="500 different rows"):
        write(tmp_path / "suite", rows=500)
    assert not any(tmp_path.iterdir())
