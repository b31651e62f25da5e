"""Two scorers: their names, what they share, and that the fair one takes what the unfair one refuses."""

import pytest

from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.errors import BadOption
from edgelm.plugins import parse, spec_of
from edgelm.report import FULL_MARK

SPECS = ["gsm8k", "commonsenseqa", "chid", "chid:split=dev", "bbh", "bbh:subsets=word_sorting", "truthfulqa"]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite") / "miniature"
    write(folder, rows=3, train_rows=100)
    return DataFolder(folder)


def _both(spec):
    name, _, options = spec.partition(":")
    return [parse("tasks", f"{name}:{','.join(filter(None, (options, f'scorer={scorer}')))}")
            for scorer in ("official", "fixed")]  # fmt: skip


@pytest.mark.parametrize("spec", SPECS)
def test_both_ask_alike_and_are_never_called_alike(miniature, spec):
    official, fixed = _both(spec)
    assert official == parse("tasks", spec) and parse("tasks", spec_of(fixed)) == fixed
    assert (fixed.label, fixed.version) == (f"{official.label}-fixed", f"{official.version}+fixed-1")
    assert fixed.samples(miniature) == official.samples(miniature)
    assert (fixed.max_tokens, fixed.stop) == (official.max_tokens, official.stop)


# What the official scorer of each task refuses, put around what is right.
REFUSED = {
    "gsm8k": "The answer is ${}.00. Hope that helps 2 people!", "commonsenseqa": "The correct answer is: **({})**",
    "chid": "The answer is {}", "chid:split=dev": "The answer is {}", "bbh": "So the answer is: {}",
    "bbh:subsets=word_sorting": "So the answer is: {}",
}  # fmt: skip


@pytest.mark.parametrize("spec", REFUSED)
def test_the_fair_one_takes_what_is_right_but_put_in_other_words(miniature, spec):
    official, fixed = _both(spec)
    samples = fixed.samples(miniature)
    right = [REFUSED[spec].format(sample.reference) for sample in samples]
    assert [fixed.score(*row) for row in zip(samples, right, strict=True)] == [FULL_MARK] * len(samples)
    assert [official.score(*row) for row in zip(samples, right, strict=True)] == [0] * len(samples)
    for answer in ("", "The answer is unknown", REFUSED[spec].format("nothing")):
        assert [fixed.score(sample, answer) for sample in samples] == [0] * len(samples)


def test_the_miniature_rows_are_marked_as_those_of_upstream(miniature):
    bbh, truth = parse("tasks", "bbh"), parse("tasks", "truthfulqa")
    rows = bbh.samples(miniature)
    assert [sample.subset for sample in rows] == ["word_sorting"] * 3 + ["boolean_expressions"] * 3
    assert bbh.score_all([(row, f"So the answer is {row.reference}.") for row in rows]) == [FULL_MARK] * 6
    for row in truth.samples(miniature):
        (true, *_), (false, *_) = row.reference["correct_answers"], row.reference["incorrect_answers"]
        assert truth.score_all([(row, f"{true}."), (row, false), (row, "")]) == [FULL_MARK, 0, 0]


def test_there_is_no_third_scorer():
    with pytest.raises(BadOption, match="official, fixed"):
        parse("tasks", "gsm8k:scorer=lenient")
