import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.devices.local import Local
from edgelm.devices.meters import host_peak
from edgelm.devices.prompt import SHA256
from edgelm.errors import BadOption, Unsupported
from edgelm.measure import measure
from edgelm.report import Report, Workload

WORKLOAD = Workload(prompt_tokens=96, generated_tokens=8, repeats=3)
HELD = 2**29  # bytes


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    """About 60 MB of weights."""
    folder = make_checkpoint(
        "llama", dtype="float32", hidden_size=512, intermediate_size=1536, num_hidden_layers=5,
        num_attention_heads=8, num_key_value_heads=4,
    )  # fmt: skip
    return Checkpoint(folder)


@pytest.fixture(scope="module")
def measured(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path, list[Any]]:
    """A report made while this process held far more memory than the model needs, its folder, and the progress told."""
    out, stages = tmp_path_factory.mktemp("reports") / "one", []
    held = b"x" * HELD
    report = measure(checkpoint, Local("cpu", threads=1), WORKLOAD, out, lambda *stage: stages.append(stage))
    assert len(held) == HELD
    return report, out, stages


def test_the_report_describes_the_checkpoint_and_loads_back(checkpoint: Checkpoint, measured: Any) -> None:
    report, out, _ = measured
    assert Report.load(out) == report
    assert (report.checkpoint, report.name) == (checkpoint.digest, checkpoint.path.name)
    assert (report.parameters, report.bytes) == (checkpoint.parameters, checkpoint.parameters * 4)
    assert report.dtypes == {"F32": checkpoint.parameters}


def test_speed_follows_from_the_repeats(measured: Any) -> None:
    speed = measured[0].speed
    assert len(speed.repeats_ns) == len(speed.first_token_ns) == speed.valid_repeats == 3
    assert all(0 < first < whole for first, whole in zip(speed.first_token_ns, speed.repeats_ns, strict=True))
    assert float(speed.throughput) == pytest.approx(104e9 / sorted(speed.repeats_ns)[1])
    assert speed.prefill == pytest.approx(96e9 / sorted(speed.first_token_ns)[1])
    assert 0 < speed.inter_token_median_ns <= speed.inter_token_p95_ns
    assert speed.prompt_sha256 == SHA256
    assert speed.device == "local:cpu"
    assert speed.conditions["threads"] == 1
    assert 0 < speed.roofline["prefill_share_of_matrix_rate"] < 2
    assert not hasattr(speed, "kit_2024_inferences_per_second")  # the context is shorter than its 2,000 tokens


def test_memory_is_the_models_alone_and_was_predicted(checkpoint: Checkpoint, measured: Any) -> None:
    report = measured[0]
    assert report.predicted["weights"] == checkpoint.bytes
    assert report.memory["host-peak"] > report.predicted["weights"]
    assert report.memory["host-peak"] < host_peak() - HELD // 2
    assert 0.85 < report.predicted["total"] / report.memory["host-peak"] < 1.15


def test_progress_goes_from_nothing_to_all(measured: Any) -> None:
    stages = measured[2]
    of = stages[0][2]
    assert [done for _, done, _ in stages] == list(range(of + 1))


def test_a_workload_beyond_the_context_leaves_nothing_behind(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"2000 positions .* the model has 256"):
        measure(checkpoint, Local(), Workload(prompt_tokens=1500, generated_tokens=500), tmp_path / "out", print)
    assert not list(tmp_path.iterdir())


def test_a_failed_measurement_leaves_nothing_behind_and_an_old_report_is_kept(
    checkpoint: Checkpoint, tmp_path: Path, measured: Any
) -> None:
    class Broken:
        def measure(self, *_: object) -> Any:
            raise Unsupported("the device does not answer")

    with pytest.raises(Unsupported, match="does not answer"):
        measure(checkpoint, Broken(), WORKLOAD, tmp_path / "out", print)
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadOption, match="exists already"):
        measure(checkpoint, Broken(), WORKLOAD, measured[1], print)


def test_the_parent_stays_without_torch() -> None:
    script = "import sys, edgelm.measure, edgelm.devices.local; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
