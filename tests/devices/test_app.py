"""What the app measured, taken over from its file: figures computed anew, and what does not belong together refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.devices.app import App
from edgelm.devices.base import Measurement
from edgelm.errors import BadFile, BadOption, EdgelmError, MissingInput, Unsupported
from edgelm.plugins import parse
from edgelm.report import Workload

WORKLOAD = Workload(prompt_tokens=1500, generated_tokens=500, repeats=3)
Measure = Callable[..., Measurement]


def kept_by_app(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    arrived = [1_500_000_000 + 20_000_000 * token for token in range(500)]
    phone = {
        "maker": "Pixelmaker", "model": "Six", "hardware": "gs101", "android": "14", "cores": 8, "thermal": 1,
        "power_save": False, "memory": {"total": 12 * 10**9, "available": 8 * 10**9, "threshold": 1},
        "battery": {"temperature": 315, "level": 80, "plugged": 2},
    }  # fmt: skip
    return {
        "format": 1, "kind": "measure-on-phone", "checkpoint": bundle.listing.checkpoint,
        "workload": WORKLOAD.model_dump(), "figures": {"decode": 1e9},
        "repeats": [{"arrived_ns": arrived, "ids": [7] * 500, "prompt_tokens": 1500}] * 3,
        "memory": {"phone": 123_456_789, "VmHWM": 123_456_789},
        "rates": {"copy_bytes_per_second": 2e10, "read_bytes_per_second": 3e10, "matrix_operations_per_second": 1e11},
        "runner": {"runner": "1", "llama.cpp": "b1", "arch": "llama", "parameters": 1, "vocab": 320, "context": 2048,
                   "trained": 4096, "bos": None, "eos": [1], "threads": 4, "load_ns": 5, "memory": {}},
        "phone": {"before": phone, "after": phone | {"thermal": 2}},
    } | changes  # fmt: skip


@pytest.fixture
def measure(bundle: Bundle, tmp_path: Path) -> Measure:
    """`measure(memory={…})`: take over the app's file, with these changes."""

    def run(workload: Workload = WORKLOAD, **changes: Any) -> Measurement:
        file = tmp_path / "measure.json"
        file.write_text(json.dumps(kept_by_app(bundle, **changes)))
        return App(str(file)).measure(bundle, workload, lambda *_: None)

    return run


def test_figures_come_from_the_clock_readings_and_not_from_the_app(measure: Measure) -> None:
    found = measure()
    extra = found.speed.model_extra or {}
    assert found.speed.decode == pytest.approx(50, rel=1e-12)
    assert found.speed.prefill == pytest.approx(1000, rel=1e-12)
    assert (found.speed.device, found.speed.valid_repeats) == ("app:Six", 3)
    assert found.memory == {"phone": 123_456_789}
    assert found.machine == {"model": "Pixelmaker Six", "soc": "gs101", "android": "14", "cores": 8,
                             "memory_bytes": 12 * 10**9}  # fmt: skip
    assert extra["conditions"] == {
        "threads": 4, "memory_available_bytes": 8 * 10**9, "battery_percent": 80, "battery_celsius": 31.5,
        "battery_celsius_after": 31.5, "thermal_status": 1, "thermal_status_after": 2, "charging": "2",
    }  # fmt: skip
    assert extra["roofline"]["decode_share_of_copy_rate"] > 0
    assert found.predicted["total"] > 0


def test_it_is_named_by_its_file() -> None:
    assert parse("devices", "app:measure.json") == App("measure.json")


def test_what_is_of_something_else_is_refused(measure: Measure, make_checkpoint: Callable[..., Path]) -> None:
    with pytest.raises(BadOption, match="of another model"):
        measure(checkpoint="0" * 64)
    with pytest.raises(BadOption, match="of another workload") as caught:
        measure(WORKLOAD.model_copy(update={"repeats": 5}))
    assert caught.value.why == (
        "the phone ran 1500 + 500 tokens, batch 1, 3 repeats; asked for are 1500 + 500 tokens, batch 1, 5 repeats"
    )
    with pytest.raises(BadOption, match="is a checkpoint"):
        App("measure.json").measure(Checkpoint(make_checkpoint("llama")), WORKLOAD, lambda *_: None)


@pytest.mark.parametrize(("changes", "error"), [
    ({"repeats": []}, BadFile),
    ({"repeats": [{"arrived_ns": [1, 2], "ids": [7] * 500, "prompt_tokens": 1500}] * 2}, BadFile),
    ({"repeats": [{"arrived_ns": [2, 1], "ids": [7] * 500, "prompt_tokens": 1500}] * 3}, Unsupported),
    ({"memory": {"phone": 0}}, BadFile),
    ({"memory": {"phone": -5}}, BadFile),
    ({"rates": None}, BadFile),
    ({"phone": {}}, BadFile),
    ({"runner": 7}, BadFile),
    ({"rates": {"copy_bytes_per_second": 0, "read_bytes_per_second": 0, "matrix_operations_per_second": 0}}, BadFile),
])  # fmt: skip
def test_a_file_that_cannot_be_true_is_refused(
    measure: Measure, changes: dict[str, Any], error: type[EdgelmError]
) -> None:
    with pytest.raises(error):
        measure(**changes)


def test_a_file_that_is_not_there_is_named(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"nothing\.json"):
        App(str(tmp_path / "nothing.json")).measure(bundle, WORKLOAD, lambda *_: None)
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(BadFile, match="not valid JSON"):
        App(str(tmp_path / "no.json")).measure(bundle, WORKLOAD, lambda *_: None)
