from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.deploy.gguf import GGUF
from edgelm.devices import phones
from edgelm.devices.base import Measurement
from edgelm.devices.local import Local
from edgelm.devices.meters import host_peak
from edgelm.devices.model_file import read_stored
from edgelm.devices.prompt import SHA256
from edgelm.errors import BadOption, Unsupported
from edgelm.measure.page import PAGE
from edgelm.measure.run import calibrate, measure, require_same, stored
from edgelm.report import Report, Speed, Workload

WORKLOAD = Workload(prompt_tokens=96, generated_tokens=8, repeats=3)
HELD = 2**29  # bytes


@pytest.fixture(autouse=True)
def own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No profile of the user's own."""
    monkeypatch.setenv(phones.OWN, str(tmp_path_factory.mktemp("profiles")))


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
    assert "kit-2024" not in speed.model_extra  # the context is shorter than its 2,000 tokens
    assert len(speed.waits) == 3
    assert [len(repeat) for repeat in speed.waits] == [7, 7, 7]


def test_memory_is_the_models_alone_and_was_predicted(checkpoint: Checkpoint, measured: Any) -> None:
    report = measured[0]
    assert report.predicted["weights"] == checkpoint.bytes
    assert report.memory["host-peak"] > report.predicted["weights"]
    assert report.memory["host-peak"] < host_peak() - HELD // 2
    assert 0.85 < report.predicted["total"] / report.memory["host-peak"] < 1.15
    said = report.prediction
    assert (said["meter"], said["measured"]) == ("host-peak", report.memory["host-peak"])
    assert said["error_percent"] == pytest.approx(100 * (said["predicted"] / said["measured"] - 1))


def test_estimates_for_phones_stand_beside(measured: Any) -> None:
    estimates = measured[0].estimates
    assert estimates.keys() == phones.profiles().keys()
    assert all(each["basis"] == "estimate" and each["fits"] for each in estimates.values())


def test_the_page_is_in_the_folder(measured: Any) -> None:
    assert measured[0].name in (measured[1] / PAGE).read_text()


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
    script = "import sys, edgelm.measure.run, edgelm.devices.local; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


class Known:
    """A device that reaches what it is made with."""

    def __init__(self, decode: float, prefill: float, memory: dict[str, int], **extra: Any) -> None:
        self.decode, self.prefill, self.memory, self.extra = decode, prefill, memory, extra

    def measure(self, model: Checkpoint | Bundle, workload: Workload, progress: object) -> Measurement:
        speed = Speed(
            workload=workload, device="ssh:pi", repeats_ns=[10**9], first_token_ns=[10**8], prefill=self.prefill,
            decode=self.decode, spread=0.0, **self.extra,
        )  # fmt: skip
        return Measurement(speed=speed, memory=self.memory, predicted={"weights": 1, "total": 110})


@pytest.fixture(scope="module")
def bundle(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("bundles") / "b"
    deploy(checkpoint, GGUF(), out)
    return Bundle(out)


def test_a_bundles_report_is_of_its_checkpoint_and_of_what_its_file_stores(
    checkpoint: Checkpoint, bundle: Bundle, tmp_path: Path
) -> None:
    report = measure(bundle, Known(5, 50, {"host-peak": 90, "phone": 100}), WORKLOAD, tmp_path / "out", lambda *_: None)
    assert report.checkpoint == checkpoint.digest
    assert (report.name, report.parameters) == (bundle.listing.name, checkpoint.parameters)
    assert report.bytes == stored(bundle).bytes < checkpoint.bytes
    assert set(report.dtypes) == {"F16", "F32"}
    assert (report.bundle, report.prediction["meter"]) == ("gguf", "phone")  # type: ignore[attr-defined]
    assert report.prediction["error_percent"] == pytest.approx(10)  # type: ignore[attr-defined]
    assert Report.load(tmp_path / "out") == report


def test_a_pair_of_reports_corrects_later_estimates(bundle: Bundle, tmp_path: Path) -> None:
    there = measure(bundle, Known(5, 50, {"phone": 10**8}, engine="r"), WORKLOAD, tmp_path / "there", lambda *_: None)
    here = measure(bundle, Known(70, 900, {"host-peak": 10**8}), WORKLOAD, tmp_path / "here", lambda *_: None)
    name = "raspberry-pi-5-8gb"
    before = here.estimates[name]  # type: ignore[attr-defined]
    assert before["decode"] != pytest.approx(5, rel=0.1)
    path = calibrate(name, phones.profiles()[name], bundle, there, here)
    assert path.parent == phones.own_folder()
    after = measure(bundle, Known(70, 900, {"host-peak": 1}), WORKLOAD, tmp_path / "again", lambda *_: None)
    found = after.estimates[name]  # type: ignore[attr-defined]
    assert (found["decode"], found["prefill"]) == (pytest.approx(5), pytest.approx(50))
    assert (found["memory"], found["basis"]) == (10**8, "estimate, calibrated")


def test_the_report_of_another_model_does_not_calibrate(checkpoint: Checkpoint, bundle: Bundle, measured: Any) -> None:
    there = measured[0].model_copy(update={"bytes": read_stored(bundle.model).bytes})
    require_same(bundle, there)
    require_same(checkpoint, there)
    with pytest.raises(BadOption, match="is of another model"):
        require_same(bundle, there.model_copy(update={"checkpoint": "0" * 64}))
    with pytest.raises(BadOption, match="bytes of weights, here are"):
        require_same(bundle, there.model_copy(update={"bytes": 2 * there.bytes}))


def test_a_report_is_written_without_a_page_where_jinja2_is_missing(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    measure(checkpoint, Known(5, 50, {"host-peak": 1}), WORKLOAD, tmp_path / "out", lambda *_: None, phones={})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]
