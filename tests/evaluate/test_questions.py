"""Which rows are asked, and what their keys depend on."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from edgelm.chat import Prompt, Turn, ask
from edgelm.errors import BadOption
from edgelm.evaluate.questions import Selection, Shard, questions
from edgelm.tasks.base import Benchmark, Sample


def test_the_first_rows_are_taken_in_turn_from_the_subsets():
    subsets = ["a", "a", "a", "b", "c", "c"]
    samples = [Sample(str(index), index, ask("?"), "", subset) for index, subset in enumerate(subsets)]
    assert [sample.index for sample in Selection(limit=3).of(samples)] == [0, 3, 4]
    assert [sample.index for sample in Selection(limit=5).of(samples)] == [0, 1, 3, 4, 5]
    assert Selection(limit=9).of(samples) == samples


@pytest.mark.parametrize("options", [{"limit": 0}, {"sample": -1}, {"limit": 1, "sample": 1}])
def test_a_selection_that_asks_nothing_or_two_things_is_refused(options):
    with pytest.raises(BadOption, match="--sample|--limit"):  # noqa: RUF043
        Selection(**options)


def test_a_sample_is_drawn_by_its_seed_in_file_order():
    samples = [Sample(str(index), index, ask("?"), "") for index in range(12)]
    drawn = Selection(sample=5, seed=3).of(samples)
    assert drawn == Selection(sample=5, seed=3).of(samples) != Selection(sample=5, seed=4).of(samples)
    assert [sample.index for sample in drawn] == sorted({sample.index for sample in drawn})
    assert len(Selection(sample=100).of(samples)) == 12


@pytest.mark.parametrize(("text", "shard"), [("1/1", Shard(1, 1)), ("2/8", Shard(2, 8))])
def test_shards_as_they_are_written(text, shard):
    assert Shard.parse(text) == shard


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "-1/2", "1/0", "a/b", "1/2/3"])
def test_shards_that_are_none(text):
    with pytest.raises(BadOption, match="shard"):
        Shard.parse(text)


# Keys


@dataclass(frozen=True)
class _One(Benchmark):
    """A task of one row."""

    sample: Sample
    max_tokens: int = 8
    stop: tuple[str, ...] = ()
    label: str = "one"

    def samples(self, data):
        return [self.sample]


ROW = Sample("one-0", 0, Prompt((Turn("user", "Why?"),)), "because")
SETTINGS: dict[str, Any] = {"checkpoint": "ab", "engine": {"engine": "hf", "truncate": "left"}, "prompting": "chat"}


def _key(sample=ROW, settings=SETTINGS, **task):
    ((_, request),) = questions(_One(sample, **task), None, Selection(), settings).rows
    return request.key


DIFFERENT = {
    "prompt": {"sample": replace(ROW, prompt=ask("Why not?"))},
    "turns": {"sample": replace(ROW, prompt=Prompt((Turn("assistant", "Why?"),)))},
    "start of base prompts": {"sample": replace(ROW, prompt=replace(ROW.prompt, base_start="\n"))},
    "cap of the task": {"max_tokens": 9},
    "cap of the row": {"sample": replace(ROW, max_tokens=7)},
    "stop": {"stop": ("\n",)},
    "choices": {"sample": replace(ROW, choices=("a", "b"))},
    "other choices": {"sample": replace(ROW, choices=("a", "c"))},
    "checkpoint": {"settings": SETTINGS | {"checkpoint": "cd"}},
    "prompting": {"settings": SETTINGS | {"prompting": "base"}},
    "truncation": {"settings": SETTINGS | {"engine": {"engine": "hf", "truncate": "mid"}}},
    "engine": {"settings": SETTINGS | {"engine": {"engine": "local", "truncate": "left"}}},
    "version": {"settings": SETTINGS | {"engine": SETTINGS["engine"] | {"torch": "2.9"}}},
}  # fmt: skip


def test_all_that_an_answer_depends_on_changes_its_key():
    keys = {name: _key(**change) for name, change in DIFFERENT.items()} | {"nothing": _key()}
    assert len(set(keys.values())) == len(keys), keys


def test_what_an_answer_does_not_depend_on_leaves_its_key():
    for sample in (replace(ROW, id="x", index=5, subset="s", reference="?"), replace(ROW, max_tokens=8)):
        assert _key(sample) == _key()
    assert _key(label="other") == _key(), "tasks that ask the same share answers"
    assert _key(settings=json.loads(json.dumps(SETTINGS))) == _key(), "as a report keeps them"
