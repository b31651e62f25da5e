from __future__ import annotations

import pytest

from edgelm.devices import meters_gpu


def test_a_machine_without_the_drivers_program_has_no_device_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert meters_gpu.device_in_use() is None


@pytest.mark.gpu
def test_the_allocators_peak_is_what_was_held_and_the_drivers_is_more() -> None:
    import torch

    others = meters_gpu.device_in_use()
    torch.cuda.reset_peak_memory_stats()
    held = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    peaks = meters_gpu.device_peaks(others)
    assert peaks["allocator-peak"] >= held.numel()
    assert peaks.get("device-process", peaks["allocator-peak"]) >= peaks["allocator-peak"]
