from __future__ import annotations

import subprocess
import sys
import time

import pytest

from edgelm.devices import meters

MIB = 2**20
HOLD = "import time; held = b'x' * (200 * 2**20); print(flush=True); time.sleep(60)"


# In a process of its own: what other tests have started there would count as well.
PEAK = """
from edgelm.devices import meters
with meters.Sampler() as sampler:
    block = b"x" * (300 * 2**20)
    sampler._done.wait(0.3)
    del block
print(meters.host_peak(), meters.resident(), sampler.peak or 0, sampler.peaks.get("host-pss", 0))
"""


def test_a_peak_stays_when_the_memory_is_given_back() -> None:
    printed = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout
    highest, now, sampled, told = map(int, printed.split())
    assert highest >= 300 * MIB and now < highest
    if not sampled:
        pytest.skip("this system has no proportional set size")
    assert 300 * MIB < sampled == told <= highest


def test_what_a_process_started_counts_with_it_and_not_after_a_stop() -> None:
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout
        with meters.Sampler(process.pid) as sampler:
            process.stdout.readline()
            seen = time.monotonic() + 10
            while not any(taken > 200 * MIB for _, taken in sampler.samples) and time.monotonic() < seen:
                time.sleep(0.05)
            sampler.stop()
            count = len(sampler.samples)
            time.sleep(0.2)
        for child in meters.psutil.Process(process.pid).children():
            child.kill()
    if sampler.peak is None:
        pytest.skip("this system has no proportional set size")
    assert len(sampler.samples) == count
    assert sampler.peak > 200 * MIB


def test_a_process_that_is_gone_has_no_figure() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with meters.Sampler(process.pid) as sampler:
        pass
    assert (sampler.peaks, sampler.kept) == ({}, [])


def test_of_many_samples_a_report_keeps_the_highest_of_each_stretch() -> None:
    sampler = meters.Sampler()
    sampler.samples = [(at, 100 + at % 7) for at in range(2400)]
    sampler.samples[1234] = (1234, 999)
    assert len(sampler.kept) == 240
    assert (1234, 999) in sampler.kept
    assert sampler.kept == sorted(sampler.kept)
