"""Who answers for a step: what a model says decides nothing."""

from __future__ import annotations

import pytest

from edgelm.server.worker.executors.base import Ended
from edgelm.server.worker.faults import fault_of, ours


@pytest.mark.parametrize("said", ["", "bwrap: no", "no space left on device", "setpriv: prlimit: ", "x" * 5000])
def test_a_model_that_breaks_answers_for_it_whatever_it_says(said):
    fault = fault_of("base/tasks", Ended("exit", 1), said)
    assert (fault.fault, fault.code) == ("participant", "crash") and len(fault.what) <= 500


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("memory", "out-of-memory"),
        ("time", "time-limit"),
        ("disk", "disk-limit"),
        ("processes", "process-limit"),
    ],
)
def test_what_is_beyond_a_limit_is_the_participant_s_on_a_bad_machine_too(reason, code):
    fault = fault_of("s", Ended(reason), "", well=False)
    assert (fault.fault, fault.code) == ("participant", code)


@pytest.mark.parametrize(("ended", "well"), [
    (Ended("cancelled"), True), (Ended("exit", -9), True), (Ended("exit", 1), False),
])  # fmt: skip
def test_what_the_machine_did_is_the_platform_s(ended, well):
    assert fault_of("s", ended, "", well=well).fault == "platform"


def test_of_a_hidden_step_nothing_is_said():
    assert fault_of("base/holdout", Ended("exit", 1), "").what == "base/holdout ended with code 1"


def test_of_a_step_of_the_worker_s_own_the_mend_is_for_its_host_alone():
    said = "noise\nrows.jsonl is not here\nwhy: the network is off\nmend: place it at /data"
    fault = ours("base/render", Ended("exit", 2), said)
    assert fault.what == "base/render ended with exit 2: rows.jsonl is not here; why: the network is off"
    assert (fault.fault, fault.mend) == ("platform", "place it at /data")
