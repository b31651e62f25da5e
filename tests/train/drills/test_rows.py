"""Drills: the tasks' own readings find what is meant, from the given documents alone and from no benchmark."""

import ast
import json
import random
import re
from collections import Counter, defaultdict
from itertools import islice

import pytest

from edgelm.data.folder import DataFolder
from edgelm.data.texts import Document, from_folder
from edgelm.plugins import parse
from edgelm.tasks import bbh, chid, commonsenseqa, gsm8k, humaneval
from edgelm.tasks.bbh import BBH
from edgelm.train.drills.idioms import idioms
from edgelm.train.drills.rows import KINDS, drills, rows
from edgelm.train.drills.sums import worked
from edgelm.train.drills.text import Text, english, glean
from edgelm.train.overlap.index import OverlapIndex

NOUNS = (
    "river",
    "garden",
    "mountain",
    "letter",
    "window",
    "teacher",
    "bottle",
    "island",
    "kitchen",
    "camera",
    "doctor",
)
VERBS = ("crosses", "watches", "remembers", "paints", "follows", "leaves", "measures", "describes")
IDIOMS = (
    "画蛇添足", "守株待兔", "亡羊补牢", "井底之蛙", "对牛弹琴", "狐假虎威", "一箭双雕", "九牛一毛", "刻舟求剑",
    "滥竽充数", "掩耳盗铃", "杯弓蛇影", "叶公好龙", "班门弄斧",
)  # fmt: skip
AROUND = (
    "东街很{}的人在那里等你。",
    "他们那样{}，谁都看见了。",
    "这是多么{}的一天呀，真好！",
    "南巷太{}地走过去了一次。",
)
SMALL = ("bbh", "chid", "commonsenseqa", "gsm8k", "humaneval", "truthfulqa")


def _documents():
    draw = random.Random(7)
    plain = [
        Document(" ".join(f"Every {draw.choice(NOUNS)} {draw.choice(VERBS)} some old {draw.choice(NOUNS)} behind our "
                          f"quiet {draw.choice(NOUNS)}, with one {draw.choice(NOUNS)}." for _ in range(3)))
        for _ in range(300)
    ]  # fmt: skip
    chinese = [Document(around.format(idiom), "请写一个句子。") for idiom in IDIOMS for around in AROUND]
    alpaca = [
        Document("Berlin is the capital of Germany.", "What is the capital of Germany?"),
        Document("12 + 30 = 42", "Add 12 and 30."), Document("7 x 6 = 43", "Multiply 7 by 6."),
        Document("def twice(x):\n  return 2 * x\n\nprint(twice(4))", "Write a function that doubles a number."),
        Document("Here it is:\n```python\nimport math\ndef root(x):\n    return math.sqrt(x)\n```", "Take a root.\n9"),
    ]  # fmt: skip
    return [*plain, *chinese, *alpaca]


@pytest.fixture(scope="module")
def documents():
    return _documents()


@pytest.fixture(scope="module")
def made(documents):
    return rows(documents, 500, seed=1)


def _by_task(made):
    own = defaultdict(list)
    for sample, answer in made:
        own[sample.id.rpartition("-")[0]].append((sample, answer))
    return own


def test_every_form_is_drilled_and_the_tasks_own_marks_are_full(made):
    own = _by_task(made)
    assert own.keys() == KINDS.keys() and len(made) == 500
    for name in ("chid", "commonsenseqa", "gsm8k", "bbh", "truthfulqa"):
        task = parse("tasks", name)
        if name != "truthfulqa":  # whose marks compare with false answers, too
            assert all(task.right(sample, answer) for sample, answer in own[name])
        assert all(task.in_form(sample, answer) for sample, answer in own[name])


def test_fair_readers_agree(made):
    for name in ("chid", "commonsenseqa", "gsm8k", "bbh"):
        task = parse("tasks", f"{name}:scorer=fixed")
        assert all(task.fairly_right(sample, answer) for sample, answer in _by_task(made)[name])


def test_labels_stand_at_every_place_alike(made):
    own = _by_task(made)
    for name, letters in (("chid", "ABCDEFG"), ("commonsenseqa", "ABCDE")):
        counts = Counter(sample.reference for sample, _ in own[name])
        assert counts.keys() == set(letters) and max(counts.values()) - min(counts.values()) <= 1
    places = Counter((len(bbh.listed(sample)), sample.reference) for sample, _ in own["bbh"] if bbh.listed(sample))
    for number in range(2, 6):
        counts = [places[number, f"({letter})"] for letter in "ABCDEF"[:number]]
        assert min(counts) > 0 and max(counts) - min(counts) <= 2
    for subset, answers in (("navigate", ("Yes", "No")), ("boolean_expressions", ("True", "False"))):
        counts = Counter(sample.reference for sample, _ in own["bbh"] if sample.subset == subset)
        assert set(counts) == set(answers) and abs(counts[answers[0]] - counts[answers[1]]) <= 1


def test_they_are_asked_by_the_tasks_own_templates(made):
    templates = {"chid": chid, "commonsenseqa": commonsenseqa, "gsm8k": gsm8k, "humaneval": humaneval, "bbh": bbh}
    for name, module in templates.items():
        shape = re.sub(r"\\{\w+\\}", "(?s:.*)", re.escape(module.QUESTION))
        assert all(re.fullmatch(shape, sample.prompt.turns[-1].text) for sample, _ in _by_task(made)[name])


def test_half_show_as_many_exemplars_as_the_task_and_the_rest_none(made):
    own = _by_task(made)
    for name, number in (("commonsenseqa", 7), ("gsm8k", 4)):
        counts = Counter(len(sample.prompt.turns) for sample, _ in own[name])
        assert counts.keys() == {1, 2 * number + 1} and min(counts.values()) > len(own[name]) / 4
    shown = Counter(
        sample.prompt.turns[-1].text.count("\nA: Let's think step by step.") - 1 for sample, _ in own["bbh"]
    )
    assert shown.keys() == {0, 3}


def test_the_closing_phrases_stand_once_and_numbers_end_the_answer(made):
    own = _by_task(made)
    assert all(answer == sample.reference for sample, answer in own["chid"])
    for name in ("commonsenseqa", "bbh"):
        assert all(answer.endswith(f"So the answer is {sample.reference}.") and answer.count("answer is ") == 1
                   for sample, answer in own[name])  # fmt: skip
    assert all(answer.endswith(f"\nThe answer is {sample.reference}") for sample, answer in own["gsm8k"])


def test_thoughts_are_true(made):
    """The numbers and orders that the answers tell are those of the words that they tell them of."""
    for _, answer in _by_task(made)["gsm8k"]:
        for word, spelled, count in re.findall(r"(\w+) is spelled (\S+), so its letters are (\d+)", answer):
            assert word == spelled.replace("-", "") and len(word) == int(count)
        for a, sign, b, result in re.findall(r"(\d+) ([+x]) (\d+) = (\d+)", answer):
            assert int(result) == (int(a) + int(b) if sign == "+" else int(a) * int(b))
    for sample, _ in _by_task(made)["bbh"]:
        asked = sample.prompt.turns[-1].text.rpartition("\nQ: ")[2]
        if sample.subset == "word_sorting":
            listed = asked.partition("\n")[0].rpartition(": ")[2].split()
            assert sample.reference.split() == sorted(listed)
        elif found := re.match(r'Does "(\w+)" come before "(\w+)" in "(.*)"\?', asked):
            one, two, sentence = found.groups()
            assert (sample.reference == "Yes") is (sentence.index(f" {one}") < sentence.index(f" {two}"))
        elif found := re.match(r'True or False: "(\w+)" has more letters than "(\w+)"', asked):
            assert (sample.reference == "True") is (len(found[1]) > len(found[2]))


def test_equal_seeds_give_equal_drills_and_no_question_twice(documents):
    first, again, other = (drills(documents, 200, seed) for seed in (1, 1, 2))
    assert first == again and first != other
    assert len({each.question for each in first}) == len(first) == 200
    assert drills(iter(documents), 50, 1) == first[:50]


def test_a_document_is_the_question_as_base_prompts_are_joined(documents, made):
    assert drills(documents, 500, 1) == [Document(answer, sample.prompt.base_text()) for sample, answer in made]


def test_all_choices_come_from_the_documents(documents, made):
    text = "\n".join(each.text for each in documents)
    words = set(re.findall(r"\w+", text))
    own = _by_task(made)
    for sample, _ in own["chid"]:
        listed = re.findall(r"(?m)^[A-G]\. (.*)$", sample.prompt.base_text())
        assert len(set(listed)) == 7 and set(listed) <= set(IDIOMS)
        assert (
            sample.prompt.base_text().partition("\n")[0].replace("______", listed["ABCDEFG".index(sample.reference)])
            in text
        )
    for sample, _ in own["commonsenseqa"]:
        listed = re.findall(r"[A-E]\. (\w+)$", sample.prompt.turns[-1].text, re.MULTILINE)
        assert len(set(listed)) == 5 and set(listed) <= words


def test_functions_are_continued_by_their_bodies(made):
    found = {sample.reference["entry_point"]: (sample.reference["prompt"], answer)
             for sample, answer in _by_task(made)["humaneval"]}  # fmt: skip
    assert found == {
        "twice": ('def twice(x):\n    """Write a function that doubles a number."""\n', "    return 2 * x\n"),
        "root": ('import math\n\ndef root(x):\n    """Take a root."""\n', "    return math.sqrt(x)\n"),
    }
    for prompt, body in found.values():
        ast.parse(prompt + body)


def test_sums_that_are_wrong_or_go_on_are_left_out(documents):
    chats = [
        *documents,
        Document("2 + 2 = 4 and then 5", "?"),
        Document("1 + 2 + 3 = 6", "?"),
        Document("5/0 = 3", "?"),
    ]
    assert worked([each for each in chats if each.question], random.Random(0)) == [
        ("Add 12 and 30.", "12 + 30 = 42", 42)
    ]


def test_idioms_are_told_from_phrases_and_from_names():
    said = [each.format("画蛇添足") for each in AROUND]
    named = [each.format("莎士比亚") for each in AROUND] + ["威廉·莎士比亚写下了许多戏剧。"] * 3
    phrases = [f"我们{word}的时候都很高兴，可是下雨了。" for word in ("昨天到达", "昨天离开", "后天到达")] * 4
    assert idioms([*said, *named, *phrases]) == ["画蛇添足"]
    assert idioms(said[:2]) == []


def test_sentences_are_plain():
    text = (
        'The old man walks slowly along the river. "No," he said to me and my brother there. Short one. '
        "The answer, as we all know by now, is here. He has 3 cats and they like to sleep here."
    )
    assert english(text) == ["The old man walks slowly along the river."]


def test_only_the_first_documents_are_read(monkeypatch):
    monkeypatch.setattr("edgelm.train.drills.text.PLAIN", 2)
    monkeypatch.setattr("edgelm.train.drills.text.CHATS", 1)
    sentence = "The old man walks slowly along the {}."
    many = [Document(sentence.format(noun), question) for noun in NOUNS[:4] for question in (None, "Where?")]
    text = glean(iter(many))
    assert [each.split()[-1] for each in text.sentences] == ["river.", "river.", "garden."]
    assert text.chats == [many[1]]


def test_documents_that_give_little_give_few_drills():
    assert drills([], 10, 0) == []
    assert drills([Document("Berlin is the capital of Germany.", "What is the capital of Germany?")], 10, 0) == [
        Document("Berlin is the capital of Germany.", "What is the capital of Germany?")
    ]
    assert list(islice(KINDS["chid"](Text(chinese=["他画蛇添足的样子。"]), random.Random(0)), 1)) == []


class _Index:
    """Takes every text with a word for one of a benchmark."""

    def __init__(self, word):
        self.word = word

    def overlaps(self, text):
        return self.word in text


def test_what_the_index_knows_is_left_out(documents):
    assert any("river" in f"{each.question}{each.text}" for each in drills(documents, 300, 0))
    assert not any("river" in f"{each.question}{each.text}" for each in drills(documents, 300, 0, _Index("river")))


def test_nothing_of_a_benchmark_enters_and_no_template_is_taken_for_one(shared, tmp_path):
    """Real text, and the index of what is asked in those benchmarks whose files are small."""
    names = ["alpaca/en/alpaca_en_demo.json", "alpaca/zh/alpaca_zh_demo.json"]
    documents = [each for source in from_folder(DataFolder(shared / "data"), names) for each in source.documents]
    for path in shared.glob("data/*/**/*"):
        own = path.relative_to(shared / "data")
        if own.parts[0] in SMALL and path.is_file() and "train" not in own.name:
            (tmp_path / own).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / own).symlink_to(path)
    index = OverlapIndex.build(DataFolder(tmp_path, offline=True), n=8)
    planted = json.loads((shared / "data/commonsenseqa/dev_rand_split.jsonl").read_bytes().partition(b"\n")[0])
    stem = planted["question"]["stem"]
    free, kept = rows(documents, 400, 0), rows([*documents, Document("It is known.", stem)], 400, 0, index)
    assert index.overlaps(stem)
    texts = [f"{sample.prompt.base_text()}\n{answer}" for sample, answer in kept]
    assert len(kept) == 400 and not any(map(index.overlaps, texts)) and not any(stem in text for text in texts)
    hit = sum(index.overlaps(f"{sample.prompt.base_text()}\n{answer}") for sample, answer in free)
    assert hit < 0.02 * len(free)
    assert BBH().label in {sample.id.rpartition("-")[0] for sample, _ in kept}
