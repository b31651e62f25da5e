"""The seven benchmarks: what a run asks that names none, and what its page can show."""

from fractions import Fraction

import pytest

from edgelm.data.folder import DataFolder
from edgelm.errors import Unsupported
from edgelm.evaluate.benchmarks import TASKS, at_hand, questions_of, reported
from edgelm.plugins import parse
from edgelm.report import TaskScore
from edgelm.tasks.base import protocol


@pytest.fixture
def no_sandbox(monkeypatch):
    """A system without bubblewrap."""

    def refuse(limits):
        raise Unsupported("there is no sandbox", mend="install it; with sandbox=none programs run unconfined")

    monkeypatch.setattr("edgelm.tasks.sandbox.programs.bubblewrap", refuse)


def scored(task, data, **fields):
    settings = {"protocol": protocol(task, data), "score": Fraction(50), "samples": 4, "of": 4}
    return TaskScore(**settings | fields, prompting="base", engine={"engine": "hf"})


def test_without_a_sandbox_humaneval_is_left_out_of_a_run_that_does_not_name_it(suite, no_sandbox):
    said = []
    assert [task.label for task, _ in at_hand(suite, said.append)] == [name for name in TASKS if name != "humaneval"]
    [line] = said
    assert "humaneval is left out: there is no sandbox; install it" in line
    assert "-t humaneval:sandbox=none" in line and line.endswith("-t humaneval asks for it by name")


def test_a_shard_asks_humaneval_all_the_same_for_another_machine_may_mark(suite, no_sandbox):
    assert [task.label for task, _ in at_hand(suite, print, marked=False)] == [*TASKS]


def test_without_a_sandbox_other_scores_are_made_anew(suite, make_report, no_sandbox):
    tasks = {name: scored(parse("tasks", name), suite) for name in ("gsm8k", "humaneval")}
    said = []
    assert [task.label for task, _ in reported(make_report(tasks), suite, said.append)] == ["gsm8k"]
    assert "humaneval is left out" in said[0]
    with pytest.raises(Unsupported, match="no sandbox"):
        reported(make_report({"humaneval": tasks["humaneval"]}), suite, said.append)


def test_questions_of_earlier_runs_are_shown_beside_those_of_this_one(suite, make_report):
    specs = ("gsm8k", "chid", "gsm8k:scorer=fixed")
    report = make_report({task.label: scored(task, suite) for task in (parse("tasks", spec) for spec in specs)})
    shown = questions_of(report, [(parse("tasks", "chid"), suite)], suite)
    assert set(shown) == {"gsm8k", "chid", "gsm8k-fixed"}
    assert shown["gsm8k"] == parse("tasks", "gsm8k").samples(suite)


def test_questions_of_other_rows_or_of_a_holdout_or_without_data_are_not(suite, make_report, tmp_path):
    gsm8k, chid = parse("tasks", "gsm8k"), parse("tasks", "chid")
    other = scored(gsm8k, suite, protocol="miniature-1/gsm8k-00000000")
    report = make_report({"gsm8k": other, "chid": scored(chid, suite, protocol="holdout/chid-00000000")})
    assert questions_of(report, [], suite) == {}
    official = scored(gsm8k, suite, protocol="opencompass-0.3.1/gsm8k-1d7fe4")
    assert questions_of(make_report({"gsm8k": official}), [], DataFolder(tmp_path)) == {}
