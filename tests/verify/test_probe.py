"""The run that is timed: what is asked in which order, and that each way to cheat in it is found by its own test."""

from __future__ import annotations

from typing import Any

import pytest

from edgelm.chat import ask
from edgelm.engines.base import Request
from edgelm.evaluate.leases import Unit
from edgelm.report import Workload
from edgelm.verify.agreement import agreement
from edgelm.verify.counts import exact_counts
from edgelm.verify.hidden import hidden_prompts
from edgelm.verify.perplexity import same_perplexity
from edgelm.verify.probe import Accuracy, Throughput, accuracy_run, throughput_run
from edgelm.verify.repeated import repeated_prompt
from edgelm.verify.result import Result

WORKLOAD = Workload(prompt_tokens=4, generated_tokens=3, repeats=3)
PROMPTS = [[1, 2, 3, number] for number in range(4)]
REQUESTS = [Request(f"{number:064x}"[::-1], number, ask(f"question {number}"), 8) for number in range(32)]
UNITS = [Unit(("gsm8k", None), tuple(REQUESTS[start : start + 4]), 1) for start in range(0, 32, 4)]
NAMES = {request.key: f"sample-{request.index}" for request in REQUESTS}
TEXT = [1, 2, 3]


def runs(make: Any) -> tuple[Accuracy, Throughput]:
    """Both runs, each by a process of its own."""
    probe = make()
    timed = throughput_run(probe, PROMPTS, WORKLOAD, UNITS, TEXT, probe.clock)
    return accuracy_run(make(), UNITS, TEXT), timed


def judged(make: Any) -> dict[str, Result]:
    """All results of the timed run, by code."""
    accuracy, timed = runs(make)
    itself = agreement(accuracy.replies, accuracy.replies, NAMES)
    found = [
        hidden_prompts(agreement(timed.hidden, accuracy.replies, NAMES), itself),
        repeated_prompt(timed.distinct_ns, timed.repeated_ns),
        exact_counts((*timed.distinct, *timed.repeated), WORKLOAD, 320),
        same_perplexity(accuracy.perplexity, timed.perplexity),
    ]
    return {result.code: result for result in found}


def test_an_honest_model_is_valid_in_all(cheats: Any) -> None:
    assert {code: result.verdict for code, result in judged(cheats.Honest).items()} == {
        "M-02": "valid", "M-03": "valid", "M-04": "valid", "M-05": "valid",
    }  # fmt: skip


@pytest.mark.parametrize(("cheat", "code"), [
    ("Remembering", "M-03"), ("Hasty", "M-02"), ("Lighter", "M-05"), ("Short", "M-04"), ("Foreign", "M-04"),
])  # fmt: skip
def test_each_cheat_is_found_by_its_own_test_alone(cheats: Any, cheat: str, code: str) -> None:
    found = judged(getattr(cheats, cheat))
    assert {each for each, result in found.items() if result.verdict != "valid"} == {code}
    assert found[code].verdict == "invalid"


def test_new_and_repeated_prompts_take_turns_and_every_question_is_asked_between_them_once(cheats: Any) -> None:
    told: list[Any] = []

    class Listening(cheats.Honest):
        def run(self, prompt: Any, workload: Any) -> Any:
            told.append(prompt[-1])
            return super().run(prompt, workload)

        def answer(self, requests: Any) -> Any:
            told.extend(request.key for request in requests)
            return super().answer(requests)

    probe = Listening()
    timed = throughput_run(probe, PROMPTS, WORKLOAD, UNITS, TEXT, probe.clock)
    assert [each for each in told if isinstance(each, int)] == [0, 1, 0, 0, 2, 3, 0], "the first warms up"
    asked = [each for each in told if isinstance(each, str)]
    assert sorted(asked) == sorted(NAMES) and set(timed.hidden) == set(NAMES)
    assert all(isinstance(told[place + 1], str) for place, each in enumerate(told[1:], 1) if isinstance(each, int))
    assert (len(timed.distinct), len(timed.repeated)) == (3, 3)


def test_time_is_that_of_our_clock_whatever_the_process_says_of_its_own(cheats: Any) -> None:
    class Boasting(cheats.Honest):
        def takes(self, prompt: Any) -> int:
            return 1000 * cheats.RUN_NS  # its own readings stay at a few nanoseconds

    _, timed = runs(Boasting)
    assert set(timed.distinct_ns + timed.repeated_ns) == {1000 * cheats.RUN_NS}
