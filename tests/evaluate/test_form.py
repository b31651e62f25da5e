"""The share of answers in form: as the tasks' own reading has it, over the answers whose questions are at hand."""

from fractions import Fraction

from edgelm.chat import ask
from edgelm.evaluate.form import in_form
from edgelm.plugins import parse
from edgelm.tasks.base import Sample


def test_the_share_is_over_the_answers_of_known_questions(make_answers):
    answers = {"chid": make_answers([0] * 4, texts=["B", "H", "b", "C"], task="chid")}
    samples = {"chid": [Sample(f"chid-{n}", n, ask("?"), "A") for n in range(3)]}
    assert in_form(answers, samples) == {"chid": Fraction(100, 3)}


def test_what_needs_no_form_or_is_unknown_is_left_out(make_answers):
    labels = ("longbench", "gsm8k-fixed", "of-my-own", "gsm8k", "chid")
    answers = {label: make_answers([0], texts=["7"]) for label in labels[:-1]}
    samples = {label: [Sample("gsm8k-0", 0, ask("?"), "7")] for label in labels if label != "gsm8k"}
    assert in_form(answers, samples) == {}
    assert in_form(answers, {"gsm8k": samples["chid"]}) == {"gsm8k": 100}


def test_a_part_of_a_benchmark_counts_if_it_was_asked(make_answers):
    part = parse("tasks", "bbh:subsets=navigate")
    answers = {part.label: make_answers([0, 0], texts=["So the answer is No.", "Turn left."])}
    samples = {part.label: [Sample(f"gsm8k-{n}", n, ask("?"), "Yes", subset="navigate") for n in range(2)]}
    assert in_form(answers, samples) == {}
    assert in_form(answers, samples, [part]) == {part.label: 50}
