from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgelm.bundle import Bundle
from edgelm.devices.base import Measurement
from edgelm.devices.bundled import measured, positions, require_bundle_runnable
from edgelm.devices.prompt import SHA256
from edgelm.errors import EdgelmError, MissingInput, Unsupported
from edgelm.native.runner import Runner, command
from edgelm.report import Workload

WORKLOAD = Workload(prompt_tokens=1500, generated_tokens=500, repeats=3)
Fake = Callable[..., Path]


@contextmanager
def started(path: Path, workload: Workload) -> Iterator[Runner]:
    words = command(str(path), "model", context=positions(workload), threads=2)
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process, Runner(process) as runner:
        yield runner


def measure(path: Path, bundle: Bundle, workload: Workload = WORKLOAD, **more: Any) -> Measurement:
    progress = more.pop("progress", lambda *_: None)
    with started(path, workload) as runner:
        return measured(
            runner, bundle, workload, "test:fake", progress, conditions={"governor": "steady"},
            machine={"cpu": "a fake"}, memory=lambda: {"phone": runner.memory()["VmHWM"], "phone-pss": 0}, **more,
        )  # fmt: skip


def test_known_delays_come_out_as_the_figures_they_make(bundle: Bundle, fake_runner: Fake) -> None:
    measurement = measure(fake_runner(first_ns=1_500_000_000, token_ns=20_000_000), bundle)
    speed, extra = measurement.speed, measurement.speed.model_extra or {}
    whole = 1_500_000_000 + 499 * 20_000_000
    assert speed.throughput == Fraction(2000 * 10**9, whole)
    assert speed.repeats_ns == [whole] * 3
    assert speed.prefill == pytest.approx(1000, rel=1e-12)
    assert speed.decode == pytest.approx(50, rel=1e-12)
    assert (extra["inter_token_median_ns"], extra["inter_token_p95_ns"]) == (20_000_000, 20_000_000)
    assert (speed.spread, extra["noisy"]) == (0, False)
    assert extra["kit-2024"] == {"inferences_per_second": 1 / 1.5, "tokens": 2000, "logits": "of the last position"}
    assert len(extra["seen_ns"]) == 3
    assert extra["notes"][0].startswith("the device's clock went")  # as these times were not waited for
    assert extra["conditions"] == {"governor": "steady", "threads": 2}
    assert extra["engine"] == "runner 1, llama.cpp fake"
    assert extra["prompt_sha256"] == SHA256
    assert measurement.memory == {"phone": 123_456_789}  # what could not be read is no figure
    assert measurement.machine == {"cpu": "a fake"}


def test_the_share_of_the_roofline_is_of_bytes_read_and_of_operations(bundle: Bundle, fake_runner: Fake) -> None:
    rates = measure(fake_runner(), bundle).speed.model_extra["roofline"]  # type: ignore[index]
    stored = bundle.model.stat().st_size
    assert 0.3 * stored < rates["bytes_per_decoded_token"] < 3 * stored + bundle.shape.kv_bytes(2000, 2)
    assert rates["decode_share_of_copy_rate"] == pytest.approx(100 * rates["bytes_per_decoded_token"] / 1e10)
    assert rates["prefill_share_of_matrix_rate"] == pytest.approx(10 * rates["prefill_operations"] / 1e11)
    assert rates["read_bytes_per_second"] == 1.2e10


def test_a_repeat_that_slows_down_is_marked(bundle: Bundle, fake_runner: Fake) -> None:
    speed = measure(fake_runner(drift_ns=2_000_000), bundle).speed
    assert speed.noisy  # type: ignore[attr-defined]


def test_what_cannot_be_measured_beside_is_a_note_and_the_rest_stays(bundle: Bundle, fake_runner: Fake) -> None:
    extra = measure(fake_runner(die="rates"), bundle).speed.model_extra or {}
    assert "roofline" not in extra
    assert extra["notes"][1:] == ["roofline could not be measured: the runner: no room for the rates"]
    assert extra["kit-2024"]["tokens"] == 2000


def test_what_a_runner_had_measured_before_it_ended_stays(bundle: Bundle, fake_runner: Fake) -> None:
    measurement = measure(fake_runner(die="abort after repeats", first_ns=5, token_ns=5), bundle)
    assert measurement.speed.valid_repeats == 3
    assert measurement.memory == {}
    assert (measurement.speed.model_extra or {})["notes"] == [
        "memory could not be measured: the runner has ended, it ended with -6",
        "kit-2024 was not measured: the runner had ended",
        "roofline was not measured: the runner had ended",
    ]


def test_a_short_context_has_no_kit_figure(bundle: Bundle, fake_runner: Fake) -> None:
    short = Workload(prompt_tokens=100, generated_tokens=20, repeats=1)
    assert "kit-2024" not in (measure(fake_runner(), bundle, short).speed.model_extra or {})


def test_a_runner_that_makes_other_counts_is_no_measurement(bundle: Bundle, fake_runner: Fake) -> None:
    with pytest.raises(Unsupported, match="none of 3 repeats on test:fake is valid"):
        measure(fake_runner(tokens=499), bundle)


def test_a_runner_that_ends_is_told_of(bundle: Bundle, fake_runner: Fake) -> None:
    with pytest.raises(EdgelmError, match="has ended"):
        measure(fake_runner(die="abort"), bundle)


def test_progress_goes_to_the_end_and_the_warm_up_is_told(bundle: Bundle, fake_runner: Fake) -> None:
    seen: list[Any] = []
    measure(fake_runner(), bundle, progress=lambda *stage: seen.append(stage), warmed=lambda: seen.append("warmed"))
    stages = [stage for stage in seen if stage != "warmed"]
    assert [done for _, done, _ in stages] == list(range(stages[0][2] + 1))
    assert seen.index("warmed") == 1


def test_batches_and_files_that_are_not_there_are_refused_beforehand(bundle: Bundle) -> None:
    with pytest.raises(Unsupported, match="with one sequence, not 2"):
        require_bundle_runnable(bundle, WORKLOAD.model_copy(update={"batch": 2}))
    with pytest.raises(Unsupported, match="the workload needs 5000 positions"):
        require_bundle_runnable(bundle, WORKLOAD.model_copy(update={"prompt_tokens": 4500}))
    gone: Any = SimpleNamespace(shape=bundle.shape, model=Path("/nowhere/model.gguf"))
    with pytest.raises(MissingInput, match="is missing"):
        require_bundle_runnable(gone, WORKLOAD)


def test_it_needs_no_torch() -> None:
    script = "import sys, edgelm.devices.bundled; sys.exit('torch' in sys.modules or 'psutil' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
