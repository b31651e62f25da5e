"""What of the benchmarks' rows is looked for, and which files are named as absent."""

import io
import json
import zipfile
from collections import Counter

import pytest

from edgelm.data import miniature
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile
from edgelm.tasks import longbench
from edgelm.train.overlap.items import BENCHMARKS, parts


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def items(data):
    return [item for part in parts(data)[0] for item in part.items(data)]


def only(data):
    (item,) = items(data)
    return item


def test_gsm8k_has_question_and_answer_with_and_without_notes(own):
    row = {"question": "How many?", "answer": "6 * 2 = <<6*2=12>>12 cows\n#### 12"}
    item = only(own({"gsm8k/train.jsonl": lines(row)}))
    assert (item.benchmark, item.name) == ("gsm8k", "gsm8k/train.jsonl:1")
    assert item.texts == ("How many?", "How many? 6 * 2 = <<6*2=12>>12 cows\n#### 12",
                          "How many? 6 * 2 = 12 cows\n#### 12")  # fmt: skip


def test_commonsenseqa_has_stem_choices_and_answer(own):
    choices = [{"label": letter, "text": text} for letter, text in zip("ABC", ("bank", "mall", "zoo"), strict=True)]
    row = {"answerKey": "B", "question": {"stem": "Where?", "choices": choices}}
    item = only(own({"commonsenseqa/train_rand_split.jsonl": lines(row)}))
    assert item.texts == ("Where?", "Where? bank mall zoo mall", "Where? A bank B mall C zoo", "A bank B mall C zoo")


def test_chid_has_the_gap_filled_and_open(own):
    row = {"content": "他#idiom#了", "candidates": ["守株待兔", "画蛇添足"], "answer": 1}
    item = only(own({"chid/dev_few_all.json": lines(row)}))
    assert item.texts[0] == "他画蛇添足了"
    assert item.texts[1:] == ("他__了", "他__了 守株待兔 画蛇添足 画蛇添足", "他__了 A 守株待兔 B 画蛇添足")


def test_truthfulqa_has_each_answer_behind_the_question(own):
    table = "Question,Best Answer,Correct Answers,Incorrect Answers\nWhy?,Because,Because; So,No; Never\n"
    item = only(own({"truthfulqa/v1/TruthfulQA.csv": table.encode("utf-8-sig")}))
    assert item.texts[:2] == ("Why?", "Why? Because Because; So No; Never")
    assert [text.split() for text in item.texts[2::4]] == [
        ["Why?", word] for word in ("Because", "Because", "So", "No", "Never")
    ]
    assert item.texts[10:14] == ("Why?   So", "Why? A  So", "Why? Answer  So", "Why? 答  So")


def test_bbh_and_humaneval_and_longbench(own):
    import gzip

    data = own({
        "bbh/tasks/navigate.json": json.dumps({"examples": [{"input": "Go.", "target": "Yes"}]}).encode(),
        "humaneval/HumanEval.jsonl.gz": gzip.compress(lines({"prompt": "def f():\n", "canonical_solution": "    1\n"})),
        "longbench/full/qasper.jsonl": lines({"input": "Which?", "context": "Long.", "answers": ["This", "That"]}),
    })  # fmt: skip
    found = {item.benchmark: item for item in items(data)}
    assert found["bbh"].texts == ("Go. Yes", "Go.")
    assert found["humaneval"].texts == ("def f():\n    1\n",)
    assert found["longbench"].texts[:2] == ("Which?", "Which? This That")
    assert found["longbench"].texts[-3:] == ("Which? A That", "Which? Answer That", "Which? 答 That")
    assert found["longbench"].contexts == ("Long.",)
    assert {item.benchmark for item in items(data) if item.contexts} == {"longbench"}


def test_subsets_are_read_from_upstreams_archive(tmp_path, monkeypatch):
    from edgelm.data import folder

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in longbench.SUBSETS:
            archive.writestr(f"data/{name}.jsonl", lines({"input": name, "context": "c", "answers": ["a"]}))
    (tmp_path / "longbench").mkdir()
    (tmp_path / "longbench/data.zip").write_bytes(content.getvalue())
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(folder.DataFolder, "sha256", lambda self, name: folder.sha256_bytes(content.getvalue()))
    here, missing = parts(DataFolder(tmp_path))
    assert [part.benchmark for part in here] == ["longbench"] * 21
    assert [item.texts[0] for part in here for item in part.items(DataFolder(tmp_path))] == list(longbench.SUBSETS)
    assert missing == [name for name in BENCHMARKS if name != "longbench"]


def test_what_is_not_at_hand_is_named_and_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))
    assert parts(DataFolder(tmp_path)) == ([], list(BENCHMARKS))


def test_a_suite_of_its_own_lacks_only_whole_benchmarks(tmp_path):
    miniature.write(tmp_path / "suite", rows=4, train_rows=100)
    here, missing = parts(DataFolder(tmp_path / "suite"))
    assert missing == []
    assert {part.benchmark for part in here} == set(BENCHMARKS)
    assert all(
        item.texts and item.texts[0].strip() for part in here for item in part.items(DataFolder(tmp_path / "suite"))
    )


def test_a_row_without_a_column_is_refused(own):
    with pytest.raises(BadFile, match=r"gsm8k/test\.jsonl:2 lacks the column 'answer'"):
        items(own({"gsm8k/test.jsonl": lines({"question": "a", "answer": "b"}, {"question": "a"})}))


def test_upstream_has_all_rows_that_can_be_scored(shared, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path))
    data = DataFolder(shared / "data")
    counts = Counter(item.benchmark for item in items(data))
    assert counts == {"commonsenseqa": 9741 + 1221, "bbh": 6511, "gsm8k": 7473 + 1319, "humaneval": 164,
                      "truthfulqa": 817, "chid": 2002 + 202 + 202, "longbench": 600}  # fmt: skip
    missing = parts(data)[1]
    assert len(missing) == 18
    assert missing[0] == "longbench/narrativeqa"
