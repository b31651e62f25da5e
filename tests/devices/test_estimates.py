from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgelm.devices.estimates import Demands, calibrated, estimate
from edgelm.devices.model_file import planned
from edgelm.devices.phones import Profile
from edgelm.errors import BadOption
from edgelm.report import Report, Speed, Workload
from edgelm.shapes import Shape, shape_of

WORKLOAD = Workload(prompt_tokens=1500, generated_tokens=500)
PROFILE = Profile(title="A phone", dram="", memory=16 * 2**30, usable=9_000_000_000, bandwidth=45e9, matrix_rate=1e11,
                  source="a test")  # fmt: skip


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELM_PROFILES", str(tmp_path))


def shape(**changed: Any) -> Shape:
    return shape_of({
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 64000, "max_position_embeddings": 8192,
    } | changed)  # fmt: skip


def report(decode: float, prefill: float, **changed: Any) -> Report:
    speed = Speed(
        workload=WORKLOAD, device="ssh:pi", repeats_ns=[10**10], first_token_ns=[10**9], prefill=prefill, decode=decode,
        spread=0.0, **changed.pop("speed", {}),
    )  # fmt: skip
    fields = {"checkpoint": "a" * 64, "name": "m", "parameters": 1, "bytes": 1, "dtypes": {}, "speed": speed} | changed
    return Report.model_validate(fields)


def test_figures_by_hand() -> None:
    demands = Demands(read=9 * 10**9, operations=3 * 10**12, memory=8 * 10**9)
    found = estimate(PROFILE, demands, WORKLOAD)
    assert found.decode == pytest.approx(5)
    assert found.first_token_seconds == pytest.approx(30)
    assert found.prefill == pytest.approx(50)
    assert found.seconds == pytest.approx(30 + 499 / 5)
    assert found.throughput == pytest.approx(2000 / found.seconds)
    assert (found.fits, found.memory, found.basis) == (True, 8 * 10**9, "estimate")
    assert not estimate(PROFILE, Demands(1, 1, 9 * 10**9), WORKLOAD).fits


def test_what_a_model_asks_for_is_what_it_reads_computes_and_takes() -> None:
    model = shape()
    demands = Demands.of(model, planned(model), WORKLOAD.model_copy(update={"batch": 4}))
    inner = 2 * (model.parameters - model.head_parameters)
    assert demands.read == pytest.approx(inner + model.kv_bytes(1750, 2), rel=1e-3)
    assert demands.operations == pytest.approx(1500 * (inner - 2 * model.head_parameters), rel=0.05)
    assert demands.memory > 2 * model.parameters + model.kv_bytes(2000, 2)


def test_the_ceiling_of_a_16_gb_phone_is_about_four_billion_parameters() -> None:
    """As the published figures say: 3.8 to 4.0 B in F16."""

    def fits(layers: int) -> bool:
        model = shape(num_hidden_layers=layers)
        return estimate(PROFILE, Demands.of(model, planned(model), WORKLOAD), WORKLOAD).fits

    most = max(layers for layers in range(1, 40) if fits(layers))
    assert 3.7e9 < shape(num_hidden_layers=most).parameters < 4.3e9


def test_a_measured_pair_makes_the_estimate_what_was_measured() -> None:
    model = shape()
    there = report(3.0, 20.0, memory={"phone": 8 * 10**9}, speed={"engine": "runner 1"})
    corrected = calibrated(PROFILE, there, report(30.0, 900.0), model, planned(model))
    found = estimate(corrected, Demands.of(model, planned(model), WORKLOAD), WORKLOAD)
    assert found.basis == "estimate, calibrated"
    assert found.decode == pytest.approx(3.0)
    assert found.prefill == pytest.approx(20.0)
    assert found.memory == pytest.approx(8 * 10**9, rel=1e-6)
    (pair,) = corrected.pairs
    assert (pair.decode_here, pair.prefill_here, pair.device) == (30.0, 900.0, "ssh:pi")
    other = shape(num_hidden_layers=8)
    assert estimate(corrected, Demands.of(other, planned(other), WORKLOAD), WORKLOAD).decode == pytest.approx(
        estimate(PROFILE, Demands.of(other, planned(other), WORKLOAD), WORKLOAD).decode * corrected.decode_factor
    )


def test_without_a_profile_one_is_made_of_what_was_measured() -> None:
    model = shape()
    there = report(3.0, 20.0, machine={"memory_bytes": 16 * 2**30, "model": "Phone X"})
    made = calibrated(None, there, report(30.0, 900.0), model, planned(model))
    assert (made.title, made.basis, made.usable) == ("Phone X", "measured", 9 * 2**30)
    assert made.decode_factor == pytest.approx(1)
    assert estimate(made, Demands.of(model, planned(model), WORKLOAD), WORKLOAD).decode == pytest.approx(3.0)
    with pytest.raises(BadOption, match="does not say how much memory"):
        calibrated(None, report(3.0, 20.0), report(30.0, 900.0), model, planned(model))


def test_what_is_no_pair_is_refused() -> None:
    model, here = shape(), report(30.0, 900.0)
    with pytest.raises(BadOption, match="a pair needs one model, not m and m"):
        calibrated(PROFILE, report(3.0, 20.0, checkpoint="b" * 64), here, model, planned(model))
    with pytest.raises(BadOption, match="has no speed"):
        calibrated(PROFILE, report(3.0, 20.0).model_copy(update={"speed": None}), here, model, planned(model))
    batch = report(3.0, 20.0)
    assert batch.speed
    speed = batch.speed.model_copy(update={"workload": WORKLOAD.model_copy(update={"batch": 2})})
    with pytest.raises(BadOption, match="of 2 sequences at once"):
        calibrated(PROFILE, batch.model_copy(update={"speed": speed}), here, model, planned(model))
