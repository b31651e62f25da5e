"""Packs of strict form: what is wrong is named with its place and its mend."""

import json

import pytest

from edgelm.errors import BadFile, MissingInput
from edgelm.tasks.holdout.folder import HoldOut
from edgelm.tasks.holdout.load import holdout_tasks
from edgelm.tasks.holdout.read import LARGEST, read_pack

FREE = {"kind": "free", "prompt": "{q}"}
CODE = {"kind": "code", "prompt": "{q}"}
WEIGHED = {"kind": "likelihood", "prompt": "{q}"}


def test_toml_and_json_say_the_same(holdout, choice):
    toml = '''
kind = "choice"
prompt = """{question}\n{choices}\nAnswer:"""
max_tokens = 4
subset = "topic"
[[exemplars]]
user = "1+1?\\nA. 2\\nB. 3\\nAnswer:"
assistant = "A"
'''
    data = HoldOut(holdout({"a.toml": toml, "b.json": choice, "c.toml": b"\xef\xbb\xbf" + toml.encode()}))
    assert read_pack(data, "a.toml") == read_pack(data, "b.json") == read_pack(data, "c.toml")


@pytest.mark.parametrize(("name", "content", "said"), [
    ("x.toml", 'kind = "free"\nprompt = \n', "line 2"),
    ("x.json", '{"kind": "free",\n "prompt": }', "line 2, column"),
    ("x.json", '{"kind": "free", "max_tokens": NaN}', "NaN"),
    ("x.json", "[" * 100_000, "not valid JSON"),
    ("x.toml", "a = " + "[" * 100_000, "not valid TOML"),
    ("x.json", "[]", "is no pack"),
    ("x.toml", b'kind = "free"\nprompt = "\xff"', "line 2"),
    ("x.json", '{"kind": "free"}'.encode("utf-16"), "not UTF-8"),
    ("x.json", "{}", "no kind of pack called None"),
    ("x.json", {"kind": "chioce"}, "did you mean 'choice'?"),
    ("x.json", {"kind": ["choice"]}, "no kind of pack"),
    ("x.json", FREE | {"promt": ""}, "did you mean 'prompt'?"),
    ("x.json", {"kind": "free"}, "field prompt is wrong"),
    ("x.json", FREE | {"prompt": ""}, "field prompt is wrong"),
    ("x.json", FREE | {"max_tokens": 0}, "field max_tokens is wrong"),
    ("x.json", FREE | {"max_tokens": "8"}, "field max_tokens is wrong"),
    ("x.json", FREE | {"max_tokens": True}, "field max_tokens is wrong"),
    ("x.json", FREE | {"match": "fuzzy"}, "field match is wrong"),
    ("x.json", FREE | {"stop": [""]}, "field stop.0 is wrong"),
    ("x.json", FREE | {"exemplars": [{"user": "q"}]}, "field exemplars.0.assistant is wrong"),
    ("x.json", FREE | {"exemplars": [{"user": "q", "assistant": "a", "x": 1}]}, "field exemplars.0.x is wrong"),
    ("x.toml", 'kind = "code"\nprompt = "q"\nseconds = inf', "field seconds is wrong"),
    ("x.toml", 'kind = "code"\nprompt = "q"\nseconds = nan', "field seconds is wrong"),
    ("x.json", CODE | {"program": "{test}"}, "must hold {answer} once"),
    ("x.json", CODE | {"program": "{answer}{answer}"}, "must hold {answer} once"),
    ("x.json", WEIGHED | {"max_tokens": 3}, "has no key 'max_tokens'"),
    ("x.json", WEIGHED | {"prompt": "{q} "}, "ends in a blank"),
    ("x.json", FREE | {"prompt": "{q}: {answer}"}, "shows the column 'answer'"),
    ("x.json", CODE | {"prompt": "{q}: {test}"}, "shows the column 'test'"),
    ("x.json", FREE | {"subset": "answer"}, "cannot name the subsets"),
    ("x.json", '{"kind": "free", "prompt": "' + "x" * LARGEST + '"}', "too large for a pack"),
])  # fmt: skip
def test_what_is_no_pack_is_named_with_its_mend(holdout, name, content, said):
    with pytest.raises(BadFile) as caught:
        holdout_tasks(holdout({name: content}))
    assert said in str(caught.value) and name in caught.value.what and caught.value.mend


@pytest.mark.parametrize("data", ["../rows.jsonl", "/etc/hostname", "none.jsonl", "salt", ".hidden.jsonl"])
def test_rows_come_out_of_the_folder_alone(holdout, tmp_path, data):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"q": "?", "answer": "x"}))
    ((task, folder),) = holdout_tasks(
        holdout({"x.json": FREE | {"data": data}, "salt": "0" * 64, ".hidden.jsonl": "{}"})
    )
    with pytest.raises(MissingInput, match="has no file"):
        task.samples(folder)
