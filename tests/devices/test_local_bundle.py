from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.bundle import Bundle
from edgelm.devices import local_bundle
from edgelm.devices.base import Measurement
from edgelm.devices.local import Local
from edgelm.errors import BadOption, EdgelmError, InputError, Unsupported
from edgelm.report import Workload

WORKLOAD = Workload(prompt_tokens=64, generated_tokens=16, repeats=2)
Fake = Callable[..., Path]


@pytest.fixture
def measure(bundle: Bundle, fake_runner: Fake, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Measurement]:
    """Measure by a fake runner in the place of the built one: `measure(Local(threads=1), die="abort")`."""

    def run(device: Local, **settings: Any) -> Measurement:
        path = fake_runner(**settings)
        monkeypatch.setattr(local_bundle, "built", lambda target, progress: path if target == "host" else None)
        return device.measure(bundle, WORKLOAD, lambda *_: None)

    return run


def test_a_bundle_is_measured_by_the_runner_with_its_memory_over_time(measure: Callable[..., Measurement]) -> None:
    measurement = measure(Local(threads=2))
    extra = measurement.speed.model_extra or {}
    assert measurement.speed.device == "local:cpu"
    assert measurement.memory["host-peak"] == 123_456_789
    assert extra["conditions"]["threads"] == 2
    assert extra["conditions"]["memory_available_bytes"] > 0
    assert measurement.predicted["total"] > measurement.predicted["weights"]
    if "host-pss" in measurement.memory:
        times = [at for at, _ in extra["memory_over_time"]]
        assert times == sorted(times)
        assert max(taken for _, taken in extra["memory_over_time"]) == measurement.memory["host-pss"] > 2**20


def test_what_the_runner_refuses_is_passed_on(measure: Callable[..., Measurement]) -> None:
    with pytest.raises(Unsupported, match="the limit is 8"):
        measure(Local(memory_limit=8), die="option")


def test_a_runner_that_the_system_killed_was_out_of_memory(measure: Callable[..., Measurement]) -> None:
    with pytest.raises(Unsupported, match="ran out of memory"):
        measure(Local(), die="killed")


def test_a_runner_that_breaks_down_is_no_fault_of_the_user(measure: Callable[..., Measurement]) -> None:
    with pytest.raises(EdgelmError, match="has ended") as caught:
        measure(Local(), die="abort")
    assert not isinstance(caught.value, InputError)
    assert "a word on stderr" in caught.value.why


def test_a_runner_that_takes_too_long_is_ended(measure: Callable[..., Measurement]) -> None:
    with pytest.raises(Unsupported, match="not done after 1 s"):
        measure(Local(time_limit=1), die="sleep")


@pytest.mark.parametrize("how", ["killed", "sleep"])
def test_a_runner_that_ends_behind_the_repeats_does_not_lose_them(
    how: str, measure: Callable[..., Measurement]
) -> None:
    found = measure(Local(time_limit=2 if how == "sleep" else 60), die=f"{how} at rates")
    assert found.speed.valid_repeats == 2 and found.memory["host-peak"]
    notes = (found.speed.model_extra or {})["notes"]
    assert notes[-1] == "roofline could not be measured: the runner has ended, it ended with -9"


@pytest.mark.parametrize("device", [Local(device="cuda"), Local(dtype="float32")])
def test_settings_that_a_bundle_does_not_have_are_refused(device: Local, bundle: Bundle) -> None:
    with pytest.raises(BadOption, match="in the dtype of its file"):
        device.measure(bundle, WORKLOAD, lambda *_: None)


def test_a_limit_without_a_bundle_or_below_nothing_is_refused(make_checkpoint: Callable[..., Path]) -> None:
    from edgelm.checkpoint import Checkpoint

    with pytest.raises(BadOption, match="is for bundles"):
        Local(memory_limit=8).measure(Checkpoint(make_checkpoint("llama")), WORKLOAD, lambda *_: None)
    with pytest.raises(BadOption, match="memory_limit=-1"):
        Local(memory_limit=-1)
