"""Rows of packs: every fault is named by its line."""

import json

import pytest

from edgelm.errors import BadFile
from edgelm.tasks.holdout import pack as packs
from edgelm.tasks.holdout import rows as module
from edgelm.tasks.holdout.load import holdout_tasks

GOOD = {"q": "?", "answer": "x"}


@pytest.fixture
def samples(holdout):
    """The samples of a pack with these rows."""

    def make(content, **keys):
        pack = {"kind": "free", "prompt": "{q}"} | keys
        ((task, data),) = holdout_tasks(holdout({"x.json": pack, "x.jsonl": content}))
        return task.samples(data)

    return make


def _with(line):
    return json.dumps(GOOD).encode() + b"\n\n" + line + b"\n"


@pytest.mark.parametrize(("line", "said"), [
    (b"{", "not valid JSON"), (b"[]", "no JSON object"), (b'{"q": NaN, "answer": "x"}', "NaN"),
    (b'{"q": 1e999, "answer": "x"}', "larger than any number"), (b'{"q": "\\ud800", "answer": "x"}', "not valid JSON"),
    (b'{"q": "\xff", "answer": "x"}', "not UTF-8"), ('{"q": "?"}'.encode("utf-16-le"), "not valid JSON"),
    (b'{"answer": "x"}', "lacks the column 'q'"), (b'{"q": "?"}', "lacks the column 'answer'"),
    (b'{"q": [], "answer": "x"}', "'q' is neither text nor number"),
    (b'{"q": true, "answer": "x"}', "'q' is neither text nor number"),
    (b'{"q": "?", "answer": {}}', "'answer' is neither"), (b'{"q": "?", "answer": []}', "empty text"),
    (b'{"q": "?", "answer": ""}', "empty text"), (b'{"q": "?", "answer": ["x", "x"]}', "same twice"),
    (b'{"q": "?", "answer": "..."}', "cannot be matched by 'normalised'"),
    (b"[" * 100_000, "not valid JSON"),
])  # fmt: skip
def test_a_bad_row_is_named_by_its_line(samples, line, said):
    with pytest.raises(BadFile) as caught:
        samples(_with(line))
    assert "line 3 of" in caught.value.what and "x.jsonl" in caught.value.what
    assert said in str(caught.value) and caught.value.mend


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_no_rows_are_named(samples, content):
    with pytest.raises(BadFile, match="no rows"):
        samples(content)


def test_too_many_rows_and_too_long_questions_are_refused(samples, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    assert len(samples([GOOD] * 2)) == 2
    with pytest.raises(BadFile, match="more than 2 rows"):
        samples([GOOD] * 3)
    monkeypatch.setattr(packs, "LONGEST", 10)
    with pytest.raises(BadFile, match="a question of 11 characters"):
        samples([GOOD | {"q": "x" * 11}])


def test_a_byte_order_mark_is_no_part_of_the_rows(samples):
    assert len(samples(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())) == 1


@pytest.mark.parametrize(("row", "said"), [
    ({"answer": "D"}, "names none of its 3 choices"), ({"answer": "AB"}, "names none"), ({"answer": ""}, "names none"),
    ({"answer": 3}, "names none"), ({"answer": -1}, "names none"), ({"answer": True}, "names none"),
    ({"choices": ["only"]}, "offers 1 choices"), ({"choices": "text"}, "offers 1 choices"),
    ({"choices": ["same", "same"]}, "same twice"), ({"choices": [f"{n}" for n in range(27)]}, "offers 27 choices"),
])  # fmt: skip
def test_choices_and_their_right_one_are_checked(samples, row, said):
    good = {"q": "?", "choices": ["x", "y", "z"], "answer": "A"}
    for kind in ("choice", "likelihood"):
        assert samples([good, good | {"answer": 2}], kind=kind)
        with pytest.raises(BadFile, match=said):
            samples([good | row], kind=kind)
