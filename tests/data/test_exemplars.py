"""Exemplars: those of OpenCompass by their hashes, or those of a suite of its own."""

import hashlib
import json

import pytest

from edgelm.chat import Turn
from edgelm.data.exemplars import OWN, WHEEL, exemplar_file, exemplars
from edgelm.errors import BadFile
from edgelm.tasks import commonsenseqa, gsm8k


@pytest.mark.parametrize(("task", "config", "name"), [
    ("gsm8k", gsm8k.CONFIG, "gsm8k"), ("commonsenseqa", commonsenseqa.CONFIG, "commonsense_qa"),
])  # fmt: skip
def test_the_published_exemplars_are_byte_for_byte_the_official_ones(upstream, golden, task, config, name):
    wanted, turns = golden("prompt_hashes")[name], exemplars(upstream, task, config)
    assert exemplar_file(upstream) == WHEEL
    assert len(turns) == wanted["exemplar_turns"]
    joined = "\n".join(turn.text for turn in turns)
    assert hashlib.sha256(joined.encode()).hexdigest() == wanted["exemplar_sha256_joined_nl"]
    assert [turn.role for turn in turns] == ["user", "assistant"] * (len(turns) // 2)


def test_a_suite_of_its_own_has_its_own(own):
    data = own({OWN: json.dumps({"t": [["user", "Q"], ["BOT", "A"]]}).encode()})
    assert exemplar_file(data) == OWN
    assert exemplars(data, "t", "") == (Turn("user", "Q"), Turn("assistant", "A"))
    assert exemplars(data, "other", "") == ()


@pytest.mark.parametrize("table", [[], {"t": 1}, {"t": ["user"]}, {"t": [["king", "Q"]]}, {"t": [["user", 1]]}])
def test_malformed_exemplars_are_named(own, table):
    with pytest.raises(BadFile, match=r"exemplars\.json"):
        exemplars(own({OWN: json.dumps(table).encode()}), "t", "")
