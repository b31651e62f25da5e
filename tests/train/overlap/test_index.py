"""Text of benchmarks in training documents is found in every disguise, and other text is left alone."""

import gzip
import json
import pickle
import random
import subprocess
import sys

import pytest

from edgelm.data import miniature
from edgelm.data.documents import Document
from edgelm.data.folder import DataFolder
from edgelm.train.overlap.grams import units
from edgelm.train.overlap.index import OverlapIndex, Tally, written
from edgelm.train.overlap.items import BENCHMARKS, Item, parts

WORDS = [f"word{number}" for number in range(400)]
ZH = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"


def words(start, count):
    return " ".join(WORDS[start : start + count])


def index(*texts, n=13, contexts=()):
    """An index of items, one of each text."""
    return OverlapIndex([Item("quiz", f"row {k}", (text,), contexts) for k, text in enumerate(texts)], n)


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("miniature") / "suite"
    miniature.write(folder, rows=20, train_rows=400)
    return DataFolder(folder)


@pytest.fixture(scope="module")
def real(tmp_path_factory, shared):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGELM_CACHE", str(tmp_path_factory.mktemp("cache")))
        return OverlapIndex.build(DataFolder(shared / "data"))


def repunctuated(text, draw):
    """Other signs between the words, a typographic apostrophe for a plain one."""
    plain = text.replace("'", "’")
    return "".join(draw.choice(" ,;–…!") + " " if not c.isalnum() and c not in "’‘" else c for c in plain)


def disguises(text, draw):
    """A text as it is, in other case, with other signs, and within other text."""
    return [text, text.upper(), repunctuated(text, draw), f"Buy now, he said: {text} And so they all went home."]


def test_a_shared_run_of_n_units_is_found_and_a_shorter_one_is_not():
    found = index(words(0, 40))
    assert found.overlaps(f"something {words(20, 13)} else")
    assert not found.overlaps(f"something {words(20, 12)} else {words(32, 8)}")


@pytest.mark.parametrize("text", disguises("Don't tell Ann's dog: it can't count the well-known 3.5 blue hats!",
                                           random.Random(0)))  # fmt: skip
def test_a_row_is_found_in_every_disguise(text):
    (hit,) = index("Don't tell Ann's dog: it can't count the well-known 3.5 blue hats!").hits(text)
    assert hit.units == "dont tell anns dog it cant count the well known 3 5 blue hats"
    assert (hit.benchmark, hit.item) == ("quiz", "row 0")


def test_chinese_is_found_character_by_character():
    found = index(ZH)
    assert found.overlaps(f"你说：“{'，'.join(ZH[5:18])}”。")
    assert not found.overlaps(f"你说：“{ZH[5:17]}”。")


def test_a_short_text_is_found_whole_and_a_very_short_one_is_ignored():
    found = index(words(0, 6), words(10, 5), words(20, 12))
    assert [hit.item for hit in found.hits(f"so {words(0, 6)} and {words(10, 5)} and {words(20, 12)}")] == \
        ["row 0", "row 2"]  # fmt: skip
    assert not found.overlaps(f"{words(0, 5)} {words(20, 11)}")
    assert found.blind == {"quiz": 1}


def test_a_template_is_ignored_in_more_than_ten_items():
    template = words(100, 15)
    rows = [f"{template} {words(20 * k, 13)}" for k in range(11)]
    assert index(*rows[:10]).overlaps(template)
    assert not index(*rows).overlaps(template)
    assert index(*rows).overlaps(rows[3])


def test_a_row_that_is_all_template_is_found_as_a_whole():
    rows = [f"{words(0, 30)} {sign}" for sign in "([{<" * 4]
    found = index(*rows)
    assert found.blind == {}
    assert found.overlaps(f"so {words(0, 30)} there")
    assert not found.overlaps(words(0, 29))


def test_repeats_within_an_item_make_no_template():
    assert index(" ".join([words(0, 14)] * 20)).overlaps(words(0, 14))


def test_every_passage_of_fifty_units_of_a_context_is_found():
    found = index(words(300, 13), contexts=(words(0, 200),))
    assert found.flags([words(start, 50) for start in range(151)]).all()
    assert not found.flags([words(start, 42) for start in range(159)]).any()
    assert found.overlaps(words(300, 13))


def test_a_short_context_is_found_whole():
    found = index(words(300, 13), contexts=(words(0, 49), words(100, 20)))
    assert found.flags([words(0, 49), words(100, 20)]).all()
    assert not found.flags([words(0, 48), words(100, 19)]).any()


def test_a_passage_in_more_than_ten_contexts_is_ignored():
    found = OverlapIndex(
        Item("quiz", str(k), (words(20 * k, 13),), (f"{words(20 * k, k)} {words(300, 60)} {words(20 * k, 50)}",))
        for k in range(11)
    )
    assert not found.overlaps(words(300, 60))
    assert found.overlaps(words(5 * 20, 50))


def test_hits_are_longest_runs_in_the_order_of_the_text():
    found = index(words(0, 40), words(100, 40))
    hits = found.hits(f"a b c {words(110, 20)} d {words(5, 13)}")
    assert [(hit.item, hit.units, hit.start) for hit in hits] == \
        [("row 1", words(110, 20), 3), ("row 0", words(5, 13), 24)]  # fmt: skip


def test_a_run_of_several_items_hits_all_of_them():
    found = index(words(0, 20), words(5, 20), words(200, 20))
    assert [hit.item for hit in found.hits(words(5, 15))] == ["row 0", "row 1"]


def test_many_texts_are_flagged_as_each_alone(suite, monkeypatch):

    found = OverlapIndex.build(suite)
    texts = [each.texts[0] for part in parts(suite)[0] for each in part.items(suite)][::7]
    mixed = [text for pair in zip(texts, (words(k, 40) for k in range(len(texts))), strict=True) for text in pair]
    one_by_one = [found.overlaps(text) for text in mixed]
    for at_once in (1, 50, 1 << 16):
        monkeypatch.setattr("edgelm.train.overlap.index._AT_ONCE", at_once)
        assert found.flags(mixed).tolist() == one_by_one
    assert True in one_by_one
    assert False in one_by_one


def test_no_run_is_found_across_two_texts():
    found = index(words(0, 20))
    assert found.flags([words(0, 10), words(10, 10)]).tolist() == [False, False]


def test_nothing_is_found_in_nothing():
    found = index(words(0, 20))
    assert found.flags([]).shape == (0,)
    assert found.flags(["", "…"]).tolist() == [False, False]
    assert OverlapIndex([]).hits(words(0, 60)) == []


def test_an_index_is_the_same_after_pickling_and_in_other_processes(suite):
    found = OverlapIndex.build(suite, 8)
    copy = pickle.loads(pickle.dumps(found))
    assert vars(copy).keys() == vars(found).keys()
    text = next(parts(suite)[0][0].items(suite)).texts[1]
    assert copy.hits(text) == found.hits(text) != []
    code = ("import sys; from pathlib import Path; from edgelm.data.folder import DataFolder\n"
            "from edgelm.train.overlap.index import OverlapIndex\n"
            "print(OverlapIndex.build(DataFolder(Path(sys.argv[1])), 8).digest)")  # fmt: skip
    made = subprocess.run([sys.executable, "-c", code, str(suite.root)], capture_output=True, text=True, check=True,
                          env={"PYTHONHASHSEED": "3"})  # fmt: skip
    assert made.stdout.strip() == found.digest == copy.digest != OverlapIndex.build(suite).digest


def test_a_question_and_its_answer_are_one_document():
    assert written(Document("b", "a")) == "a\nb"
    assert written(Document("b")) == "b"
    assert [hit.units for hit in index(words(0, 14)).hits(written(Document(words(7, 20), words(0, 7))))] == [
        words(0, 14)
    ]


def test_counts_equal_a_recount(suite):
    found = OverlapIndex.build(suite)
    rows = [item for part in parts(suite)[0] for item in part.items(suite)]
    draw = random.Random(1)
    texts = [f"{draw.choice(rows).texts[-1]} {draw.choice(rows).texts[-1]} {words(0, 30)}" for _ in range(60)]
    tally = Tally()
    hit = [(number, found.hits(text)) for number, text in enumerate(texts)]
    for number, hits in hit:
        tally.add(hits, tokens=number)
    card = json.loads(json.dumps(tally.card(found)))
    assert (card["documents"], card["tokens"]) == (60, sum(range(60)))
    assert (card["n"], card["index"], card["missing"]) == (13, found.digest, [])
    for name in BENCHMARKS:
        touched = [(number, each.item) for number, hits in hit for each in hits if each.benchmark == name]
        documents = {number for number, _ in touched}
        assert card["benchmarks"][name] == {
            "items": sum(row.benchmark == name for row in rows), "too_short": found.blind.get(name, 0),
            "touched": len({item for _, item in touched}), "documents": len(documents), "tokens": sum(documents),
        }  # fmt: skip


def by_hand(item_texts, text, n):
    """Whether a text shares a run with an item, by comparing strings alone."""
    inside = f" {' '.join(units(text))} "
    for own in map(units, item_texts):
        size = min(n, len(own))
        if size >= 6 and any(f" {' '.join(own[k : k + size])} " in inside for k in range(len(own) - size + 1)):
            return True
    return False


@pytest.mark.parametrize("n", [8, 13])
def test_hashes_find_what_comparing_strings_finds(n):
    draw = random.Random(2)
    rows = [" ".join(draw.choices("abc", k=draw.randrange(4, 30))) for _ in range(6)]
    found = index(*rows, n=n)
    texts = [" ".join(draw.choices("abc", k=60)) for _ in range(100)]
    texts += [f"{draw.choice(rows)} {draw.choice(rows)}" for _ in range(50)]
    expected = [any(by_hand([row], text, n) for row in rows) for text in texts]
    assert found.flags(texts).tolist() == expected
    assert len(set(expected)) == 2


def test_real_rows_are_found_in_every_disguise(real, shared):
    data, draw = DataFolder(shared / "data", offline=True), random.Random(3)
    for part in parts(data)[0]:
        for item in draw.sample(list(part.items(data)), 3):
            for text in item.texts[:2]:
                if len(units(text)) >= 13:
                    assert real.flags(disguises(text, draw)).all(), (item.name, text)
            for context in item.contexts:
                assert real.flags(disguises(context[500:1500], draw)).all(), item.name
    assert real.blind == {"bbh": 1}


def test_real_text_is_left_alone(real, shared):
    rows = gzip.decompress((shared / "data/c4/derived/c4_en_docs.jsonl.gz").read_bytes()).decode().splitlines()
    texts = [json.loads(row)["text"] for row in rows]
    assert len(texts) == 1900
    assert real.flags(texts).sum() == 0
