"""BBH: which letter or text of an answer counts, the sets and their names, and the mean of the sets."""

import hashlib
import json
from fractions import Fraction

import pytest

from edgelm.chat import ask
from edgelm.errors import BadFile, BadOption, MissingInput, UnknownName
from edgelm.plugins import parse, spec_of
from edgelm.report import FULL_MARK
from edgelm.tasks.base import Sample
from edgelm.tasks.bbh import BBH, CHOICE_SETS, FREE_SETS, SETS, hint, letter, line


def _mark(subset, answer, reference, **options):
    return BBH(**options).score(Sample("bbh-0", 0, ask("?"), reference, subset=subset), answer)


@pytest.mark.parametrize(("answer", "right"), [
    ("So the answer is (B).", True), ("So the answer is B.", True), ("answer is (B", True), ("(B)", True), ("B", True),
    ("answer is (B)))", True), ("The answer is: (B)", True), ("it is (B), not (C)", True), ("A. Or rather (B)", True),
    ("answer is\n(B)", True), ("(A)\nanswer is\n(B)", False), ("the answer is  (B)", True),
    ("so the answer is both (B) and (C)", True), ("The answer is: B", False), ("So the answer: B", False),
    ("So the Answer is B", False), ("", False), ("the answer is (A). No, the answer is (B)", False),
    ("the answer is (B). No, the answer is (A)", True), ("So the answer is (b).", False), ("b", False),
    ("answer is Banana", True), ("answer is the Big one", True), ("( B )", True), ("(Б)", False),
    ("answer is **B**", True), ("answer is **(b)** of A, B", False),
])  # fmt: skip
def test_the_letter_between_the_first_and_second_phrase_counts(answer, right):
    assert _mark("snarks", answer, "(B)") == (FULL_MARK if right else 0)


def test_a_reference_without_a_letter_is_read_as_an_answer_is():
    assert _mark("movie_recommendation", "So the answer is Monsters.", "Monsters, Inc") == FULL_MARK
    assert _mark("movie_recommendation", "So the answer is (M).", "Monsters, Inc") == FULL_MARK
    assert _mark("ruin_names", "dearth, wind, & fire", "dearth, wind, & fire") == FULL_MARK
    assert _mark("ruin_names", "So the answer is (I)", "dearth, wind, & fire") == 0


@pytest.mark.parametrize(("answer", "reference", "right"), [
    ("So the answer is yes.", "yes", True), ("So the answer is Yes.", "yes", False), ("yes", "yes", True),
    ("answer is: yes", "yes", False), ("So the answer is yes..", "yes", False), ("The answer is yes .", "yes", True),
    ("The answer is yes\nbecause …", "yes", True), ("The answer is \n\nyes", "yes", True), ("\nyes", "yes", False),
    ("the answer is **yes**, surely", "yes", True), ("the answer is **yes** or **no**", "yes", True),
    ("the answer is yes. So the answer is no", "yes", False), ("answer is **yes.**", "yes", False),
    ("the answer is yes the answer is no", "yes the", True), ("the answer is ****", "", True), ("", "", True),
    ("] ) }", "] ) }", True), ("So the answer is ] ) }.", "] ) }", True), ("So the answer is ])}.", "] ) }", False),
    ("So the answer is 24.", "24", True), ("So the answer is 24.0.", "24", False), ("So the answer is .", "", True),
])  # fmt: skip
def test_the_first_line_between_the_first_and_second_phrase_counts(answer, reference, right):
    assert _mark("sports_understanding", answer, reference) == (FULL_MARK if right else 0)


@pytest.mark.parametrize("name", SETS)
def test_what_is_read_out_of_an_answer_is_what_opencompass_read(golden, name):
    read = letter if name in CHOICE_SETS else line
    for row in golden(f"chat_results/bbh-{name}")["details"].values():
        assert read(row["origin_prediction"]) == row["predictions"]


@pytest.mark.parametrize(("answer", "right"), [
    ("So the Answer is: (b)", True), ("the answer is (A). No, the answer is **B**", True),
    ("So the answer is river bank", True), ("So the answer is (A) and (B)", False), ("So the answer is bank", False),
    ("a bank", False), ("", False), ("So the answer is (C).", False),
])  # fmt: skip
def test_the_fixed_scorer_reads_the_choices_of_the_row_itself(answer, right):
    asked = ask(
        "Q: Where?\nOptions:\n(A) x\n(B) y\nA: (A)\n\nQ: Where?\nOptions:\n(A) bank\n(B) river bank\nA: Let's think"
    )
    sample = Sample("bbh-0", 0, asked, "(B)", subset="snarks")
    assert BBH(scorer="fixed").score(sample, answer) == (FULL_MARK if right else 0)


@pytest.mark.parametrize(("subset", "answer", "reference", "right"), [
    ("navigate", "So the answer is: YES, I think", "Yes", True), ("navigate", "So the answer is: no", "Yes", False),
    ("ruin_names", "So the answer is Dearth, wind, & fire.", "dearth, wind, & fire", True),
    ("movie_recommendation", "So the answer is (M).", "Monsters, Inc", False),
    ("movie_recommendation", "So the answer is **Monsters, Inc.**", "Monsters, Inc", True),
])  # fmt: skip
def test_the_fixed_scorer_reads_texts(subset, answer, reference, right):
    assert _mark(subset, answer, reference, scorer="fixed") == (FULL_MARK if right else 0)


# The sets


def _suite(name="snarks", rows=(("Which?\n(A) a\n(B) b", "(B)"),), shots="canary\n-----\nA hint.\n\nQ: {a}\nA: b"):
    examples = [{"input": asked, "target": target} for asked, target in rows]
    table = json.dumps({"canary": "canary", "examples": examples}).encode()
    return {f"bbh/tasks/{name}.json": table, f"bbh/cot-prompts/{name}.txt": shots.encode()}


def test_a_suite_of_its_own_may_have_some_sets_alone(own):
    data = own(_suite() | _suite("navigate", (("{target}here?", "Yes"), ("There?", "No"))))
    first, second, third = BBH().samples(data)
    assert [sample.subset for sample in (first, second, third)] == ["snarks", "navigate", "navigate"]
    assert second.prompt.base_text() == (
        "Follow the given examples and answer the question.\nA hint.\n\nQ: {a}\nA: b\n\n"
        "Q: here?\nA: Let's think step by step."
    )
    assert (third.id, third.reference) == ("bbh-navigate-1", "No")
    assert BBH(subsets=("navigate",)).samples(data) == [second, third], "the same rows, asked alone"


def test_every_set_begins_a_batch(upstream):
    samples = BBH().samples(upstream)
    firsts = [sample.index for sample in samples if sample.id.endswith("-0")]
    assert len(firsts) == 27 and all(index % 8 == 0 for index in firsts)
    assert sorted({sample.index for sample in samples}) == [sample.index for sample in samples]
    assert len(samples) == 6511 and tuple(dict.fromkeys(sample.subset for sample in samples)) == SETS


@pytest.mark.parametrize("subsets", [(), ("navigate",), ("navigate", "snarks"), SETS[:20], FREE_SETS, SETS])
def test_a_part_is_never_called_as_the_whole(subsets):
    task = BBH(subsets=subsets)
    assert parse("tasks", spec_of(task)) == task
    names = (task.label, task.version)
    assert (names == ("bbh", "bbh-5b92b0")) == (subsets in ((), SETS))
    assert all(len(name) < 150 for name in names)
    assert names == (BBH(subsets=subsets[::-1]).label, BBH(subsets=subsets[::-1]).version)


def test_sets_that_are_not_there_are_named(own):
    with pytest.raises(UnknownName, match="snark") as caught:
        parse("tasks", "bbh:subsets=snark")
    assert "snarks" in caught.value.mend
    with pytest.raises(BadOption, match="twice"):
        parse("tasks", "bbh:subsets=snarks+snarks")
    with pytest.raises(MissingInput, match=r"navigate\.json"):
        BBH(subsets=("navigate",)).samples(own(_suite()))
    with pytest.raises(MissingInput, match=r"temporal_sequences\.json"):
        BBH().samples(own({}))


@pytest.mark.parametrize("files", [
    _suite(rows=()), _suite(rows=[("?", "(A)")] * 1025), _suite(shots="no rule"), _suite(rows=[(1, "(A)")]),
    _suite(rows=[("?", None)]), _suite() | {"bbh/tasks/snarks.json": b"{}"},
    _suite() | {"bbh/cot-prompts/snarks.txt": b"\xff"},
])  # fmt: skip
def test_files_that_are_not_of_the_format_are_named(own, files):
    with pytest.raises(BadFile, match="snarks"):
        BBH().samples(own(files))


def test_the_exemplars_are_those_of_opencompass(shared, upstream):
    listed = (shared / "oracle/golden/bbh_lib_prompt_sha256.txt").read_text().split()
    wanted = dict(zip(listed[::2], listed[1::2], strict=True))
    assert {name: hashlib.sha256(hint(name, upstream).encode()).hexdigest() for name in SETS} == wanted


def test_the_score_is_the_mean_of_the_sets_whatever_their_rows():
    assert BBH().aggregate({"snarks": [FULL_MARK], "navigate": [0, 0, FULL_MARK]}) == Fraction(200, 3)
    assert BBH().aggregate({}) == 0
