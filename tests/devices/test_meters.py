import pytest
import torch

from edgelm.devices import meters

MIB = 2**20


def test_a_peak_stays_when_the_memory_is_given_back() -> None:
    before = meters.host_peak()
    with meters.PssSampler() as pss:
        block = torch.ones(300 * MIB, dtype=torch.uint8)
        pss._done.wait(0.3)
        del block
    after = meters.host_peak()
    assert after >= max(before, 300 * MIB)
    assert meters.resident() < after
    if pss.peak is None:
        pytest.skip("this system has no proportional set size")
    assert 300 * MIB < pss.peak <= after


def test_a_machine_without_the_drivers_program_has_no_device_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert meters.device_in_use() is None
