"""How fast a run is: what is counted, and what is not guessed."""

from __future__ import annotations

import pytest
import torch

from edgelm.train.base import SHAPES
from edgelm.train.costs.flops import causal_flops_per_token, flops_per_token
from edgelm.train.loop import speed
from edgelm.train.loop.distributed import World
from edgelm.train.loop.speed import Meter

KEYS = {"tokens_per_s", "seconds", "data_wait_s", "memory_mb", "mfu", "mfu_causal"}


@pytest.fixture
def clock(monkeypatch):
    """A clock that only goes on when it is told."""
    now = [100.0]
    monkeypatch.setattr(speed.time, "monotonic", lambda: now[0])
    return now


def test_an_update_is_timed_with_its_wait_for_data(clock):
    meter = Meter(SHAPES["tiny"], 256, World(0, 1, torch.device("cpu")), seconds=10.0)
    for wait in (0.25, 0.5):
        meter.start()
        meter.waited(wait)
        meter.waited(0.25)
        clock[0] += 2.0
        made = meter.stop(1000)
        assert set(made) == KEYS
        assert (made["tokens_per_s"], made["data_wait_s"]) == (500.0, wait + 0.25)
        clock[0] += 60.0  # looking at held-out text and saving are no part of it
    assert made["seconds"] == 14.0
    assert made["mfu"] is None and made["mfu_causal"] is None
    assert 10 < made["memory_mb"] < 100_000


def test_on_a_known_device_the_share_of_its_peak_is_told(clock, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5_000_000)
    shape = SHAPES["125M"]
    meter = Meter(shape, 2048, World(0, 2, torch.device("cuda", 0)))
    meter.start()
    clock[0] += 1.0
    made = meter.stop(500_000)
    assert made["mfu"] == pytest.approx(flops_per_token(shape, 2048) * 500_000 / (2 * 989e12), abs=1e-4)
    assert made["mfu_causal"] == pytest.approx(causal_flops_per_token(shape, 2048) * 500_000 / (2 * 989e12), abs=1e-4)
    assert made["memory_mb"] == 5.0
