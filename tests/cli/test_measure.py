"""The verb: what it refuses before anything runs, what it prints, and how a pair corrects a profile."""

from __future__ import annotations

import functools
import json
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
from edgelm.report import Report, Speed, Workload

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(edgelm: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `edgelm measure` with a device that reaches known figures: exit code, stdout and stderr."""
    monkeypatch.setenv(phones.OWN, str(tmp_path / "profiles"))
    monkeypatch.setenv("COLUMNS", "200")

    def known(self: Local, model: Checkpoint | Bundle, workload: Workload, progress: object) -> Measurement:
        speed = Speed(workload=workload, device="local:cpu", repeats_ns=[10**9], first_token_ns=[10**8], prefill=2000.0,
                      decode=200.0, spread=0.0, engine="runner 1")  # fmt: skip
        return Measurement(speed=speed, memory={"host-peak": 10**8}, predicted={"weights": 10**7, "total": 95 * 10**6},
                           machine={"memory_bytes": 2**33})  # fmt: skip

    monkeypatch.setattr(Local, "measure", known)

    return functools.partial(edgelm, "measure")


@pytest.fixture(scope="module")
def model(make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint("llama", max_position_embeddings=4096)


@pytest.fixture(scope="module")
def bundle(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "b"
    deploy(Checkpoint(model), GGUF(), out)
    return out


@pytest.mark.parametrize("which", ["model", "bundle"])
def test_figures_and_estimates_are_printed(which: str, run: Run, request: Any, tmp_path: Path) -> None:
    code, out, _ = run(request.getfixturevalue(which), "-o", tmp_path / "out")
    assert code == 0
    for said in ("1500 prompt + 500 generated tokens", "2,000 tokens/s", "predicted 90.6 MiB, −5.0 %", "estimate",
                 "Estimates, not measured", "raspberry-pi-5-8gb", "of 8.38 GiB"):  # fmt: skip
        assert said in out, said


def test_json_is_the_report(run: Run, bundle: Path, tmp_path: Path) -> None:
    code, out, _ = run(bundle, "-o", tmp_path / "out", "--json", "--profile", "raspberry-pi-5-8gb")
    assert code == 0
    said = json.loads(out)
    assert said == Report.load(tmp_path / "out").model_dump(mode="json")
    assert said["estimates"].keys() == {"raspberry-pi-5-8gb"}


def test_a_pair_corrects_a_profile_for_later(run: Run, bundle: Path, tmp_path: Path) -> None:
    name = "raspberry-pi-5-8gb"
    assert run(bundle, "-o", tmp_path / "there")[0] == 0
    code, _, err = run(bundle, "-o", tmp_path / "here", "--calibrate", tmp_path / "there", "--profile", name)
    assert code == 0
    assert f"estimates for {name} now follow what was measured on local:cpu" in " ".join(err.split())
    _, out, _ = run(bundle, "-o", tmp_path / "later", "--profile", name, "--json")
    estimate = json.loads(out)["estimates"][name]
    assert (estimate["decode"], estimate["basis"]) == (pytest.approx(200), "estimate, calibrated")
    assert run(bundle, "-o", tmp_path / "new", "--calibrate", tmp_path / "there", "--profile", "my-board")[0] == 0
    assert phones.profiles()["my-board"].basis == "measured"


@pytest.fixture
def kept(bundle: Path, tmp_path: Path) -> Path:
    """What the app leaves of a workload that is not the rules'."""
    facts = {"model": "Six", "cores": 8}
    file = tmp_path / "measure.json"
    file.write_text(json.dumps({
        "checkpoint": Bundle(bundle).listing.checkpoint, "phone": {"before": facts, "after": facts},
        "workload": {"prompt_tokens": 30, "generated_tokens": 4, "batch": 1, "repeats": 2},
        "repeats": [{"arrived_ns": [9, 10, 11, 12], "ids": [7] * 4, "prompt_tokens": 30}] * 2,
        "memory": {"phone": 10**8},
        "rates": dict.fromkeys(("copy_bytes_per_second", "read_bytes_per_second", "matrix_operations_per_second"), 1e9),
        "runner": {"runner": "1", "llama.cpp": "b1", "arch": "llama", "parameters": 1, "vocab": 320, "context": 64,
                   "trained": 64, "bos": None, "eos": [1], "threads": 4, "load_ns": 5, "memory": {}},
    }))  # fmt: skip
    return file


def test_what_the_app_ran_need_not_be_said(run: Run, bundle: Path, kept: Path, tmp_path: Path) -> None:
    code, out, _ = run(bundle, "--device", f"app:{kept}", "-o", tmp_path / "out")
    assert code == 0 and "30 prompt + 4 generated tokens, 2 repeats, on app:Six" in out
    for words in (("--repeats", "3"), ("--rules", "miniature")):
        code, _, err = run(bundle, "--device", f"app:{kept}", *words, "-o", tmp_path / "other")
        assert code == 2 and "the phone ran 30 + 4 tokens, batch 1, 2 repeats; asked for are" in " ".join(err.split())
    assert run(bundle, "--device", f"app:{kept}", "--repeats", "2", "-o", tmp_path / "same")[0] == 0


def bad(*words: str, says: str) -> Any:
    return pytest.param(words, says, id=" ".join(words))


@pytest.mark.parametrize(("words", "says"), [
    bad("MODEL", "--profile", "raspbery-pi-5-8gb", says="did you mean 'raspberry-pi-5-8gb'?"),
    bad("MODEL", "--calibrate", "OTHER", says="--calibrate needs one --profile"),
    bad("MODEL", "--calibrate", "OTHER", "--profile", "a", "--profile", "b", says="--calibrate needs one --profile"),
    bad("MODEL", "--calibrate", "OTHER", "--profile", "A/B", says="'A/B' is no name for a profile"),
    bad("MODEL", "--calibrate", "OTHER", "--profile", "mine", says="is of another model"),
    bad("MODEL", "--calibrate", "NOWHERE", "--profile", "mine", says="there is no folder"),
    bad("MODEL", "--calibrate", "EMPTY", "--profile", "mine", says="holds no finished report"),
    bad("MODEL", "--repeats", "0", says="--repeats is 0"),
    bad("MODEL", "--generated-tokens", "1", says="give at least 2"),
    bad("MODEL", "--prompt-tokens", "9000", says="the workload needs 9500 positions"),
    bad("MODEL", "--device", "locale", says="did you mean 'local'?"),
    bad("NOWHERE", says="or a bundle that edgelm deploy made"),
    bad("EMPTY", says="EMPTY is neither checkpoint nor bundle"),
    bad("CUT", says="is cut short"),
    bad("WITHOUT", says="holds no model.gguf"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_runs(
    words: tuple[str, ...], says: str, run: Run, model: Path, bundle: Path, tmp_path: Path
) -> None:
    made = {"MODEL": model, **{name: tmp_path / name for name in ("OTHER", "NOWHERE", "EMPTY", "CUT", "WITHOUT")}}
    made["EMPTY"].mkdir()
    made["OTHER"].mkdir()
    Report(checkpoint="0" * 64, name="other", parameters=1, bytes=1, dtypes={}).save(made["OTHER"])
    for name in ("CUT", "WITHOUT"):
        made[name].mkdir()
        listing = json.loads((bundle / "bundle.json").read_text())
        listing["files"] = {} if name == "WITHOUT" else listing["files"]
        (made[name] / "bundle.json").write_text(json.dumps(listing))
    made["CUT"].joinpath("model.gguf").write_bytes((bundle / "model.gguf").read_bytes()[:-5000])
    code, out, err = run(*(made.get(word, word) for word in words), "-o", tmp_path / "out")
    assert (code, out) == (2, "")
    assert says in " ".join(err.split())
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "profiles").exists()
