"""The bundle for Android, whole: its files, its digests, and the runner inside its APK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm import plugins
from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.deploy import android
from edgelm.deploy.android import Android
from edgelm.deploy.apk import tools
from edgelm.deploy.apk.package import RUNNER
from edgelm.deploy.base import deploy
from edgelm.errors import BadFile, BadOption, MissingInput

PROGRAM = b"\x7fELF" + bytes(range(256)) * 64


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and bytecode are made once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def stand_in(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A file in place of the runner, which takes minutes to build; the targets asked for."""
    try:
        tools.find_tools()
    except MissingInput as error:
        pytest.skip(error.why)
    (tmp_path / "stand-in").write_bytes(PROGRAM)
    asked: list[str] = []

    def built(target: str, progress: Callable[..., object]) -> Path:
        asked.append(target)
        return tmp_path / "stand-in"

    monkeypatch.setattr(android.build, "built", built)
    monkeypatch.setattr(android.build, "tools", lambda target: {"llama.cpp": "1", "compiler": target})
    monkeypatch.setenv("EDGELM_CACHE", str(cache))
    monkeypatch.delenv("ANDROID_NDK", raising=False)
    return asked


def card_of(bundle: Path) -> dict[str, Any]:
    with zipfile.ZipFile(bundle / "edgelm.apk") as apk:
        return json.loads(apk.read("assets/card.json"))


def test_the_bundle_is_whole_and_its_card_is_the_checkpoints(
    make_checkpoint: Any, tmp_path: Path, stand_in: list[str]
) -> None:
    checkpoint = Checkpoint(make_checkpoint("llama"))
    said: dict[str, tuple[int, int]] = {}
    target = plugins.parse("deploy", "android:package=org.example.island")
    deploy(checkpoint, target, tmp_path / "bundle", lambda what, done, of: said.update({what: (done, of)}))
    bundle = Bundle(tmp_path / "bundle")
    bundle.verify()
    assert set(bundle.listing.files) == {
        "model.gguf", "runner", "edgelm.apk", "run.sh", "install.sh", "README.txt", "passage.json"}  # fmt: skip
    assert {"gguf", "llama.cpp", "compiler", "aapt", "smali", "apksigner"} == set(bundle.listing.tools)
    assert stand_in == ["aarch64"]
    assert all(done == of for done, of in said.values()), said
    assert (bundle.path / "runner").read_bytes() == PROGRAM
    assert os.access(bundle.path / "runner", os.X_OK)
    assert os.access(bundle.path / "run.sh", os.X_OK)
    with zipfile.ZipFile(bundle.path / "edgelm.apk") as apk:
        assert apk.read(RUNNER) == PROGRAM
    card, weights = card_of(bundle.path), bundle.listing.files["model.gguf"]
    assert card["checkpoint"] == checkpoint.digest == bundle.listing.checkpoint
    assert card["model"] == {"sha256": weights.sha256, "size": weights.size}
    assert card["parameters"] == checkpoint.shape.parameters
    assert card["package"] == "org.example.island"
    assert card["chat"]
    assert card["before"] or card["behind"]
    script = (bundle.path / "install.sh").read_text()
    assert f"apk_sha256={bundle.listing.files['edgelm.apk'].sha256}\n" in script
    assert f"model_sha256={weights.sha256}\n" in script


def test_without_its_chat_template_a_text_begins_as_the_tokenizer_says(
    make_checkpoint: Any, tmp_path: Path, stand_in: list[str]
) -> None:
    deploy(Checkpoint(make_checkpoint("llama")), Android(chat=False), tmp_path / "bundle")
    card = card_of(tmp_path / "bundle")
    assert (card["chat"], card["before"], card["behind"]) == (False, "", "")
    import gguf

    field = gguf.GGUFReader(tmp_path / "bundle" / "model.gguf").fields["tokenizer.ggml.add_bos_token"]
    assert card["begins"] == field.contents()


def test_the_development_kit_is_used_where_it_is(
    make_checkpoint: Any, tmp_path: Path, stand_in: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_NDK", str(tmp_path))
    deploy(Checkpoint(make_checkpoint("llama")), Android(), tmp_path / "bundle")
    assert stand_in == ["android-ndk"]


def test_a_template_that_fails_leaves_nothing(make_checkpoint: Any, tmp_path: Path, stand_in: list[str]) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(make_checkpoint("llama"), folder)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('never') }}")
    with pytest.raises(BadFile, match="chat template"):
        deploy(Checkpoint(folder), Android(), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    deploy(Checkpoint(folder), Android(chat=False), tmp_path / "bundle")


def test_missing_tools_are_said_before_anything_is_built(
    make_checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools.shutil, "which", lambda name: None)
    monkeypatch.setattr(android.build, "built", lambda target, progress: pytest.fail("the runner was built"))
    with pytest.raises(MissingInput, match="the tools that make an APK are not installed"):
        deploy(Checkpoint(make_checkpoint("llama")), Android(), tmp_path / "bundle")


@pytest.mark.parametrize("package", ["edgelm", "Org.Example", "a..b", "a.1", "a.b;rm", "a." + "b" * 100])
def test_names_that_android_would_refuse(package: str) -> None:
    with pytest.raises(BadOption, match="no name of an app"):
        Android(package=package)


def test_the_runner_from_the_apk_answers_under_emulation(shared: Path, tmp_path: Path) -> None:
    """Only where the runner has been built before: building takes minutes."""
    from edgelm.native.source import native_folder

    if not shutil.which("qemu-aarch64-static"):
        pytest.skip("there is no qemu-aarch64-static: apt-get install qemu-user-static")
    if not any(native_folder().glob("aarch64-*/edgelm-runner")):
        pytest.skip("the runner for aarch64 is not built: edgelm deploy CHECKPOINT linux-aarch64 builds it")
    try:
        tools.find_tools()
    except MissingInput as error:
        pytest.skip(error.why)
    folder = shared / "data" / "models" / "stories260K-hf"
    deploy(Checkpoint(folder), Android(), tmp_path / "bundle")
    with zipfile.ZipFile(tmp_path / "bundle" / "edgelm.apk") as apk:
        apk.extract(RUNNER, tmp_path)
    (tmp_path / RUNNER).chmod(0o755)
    question = json.dumps({"op": "generate", "text": "Once upon a time", "max_tokens": 8}) + "\n"
    result = subprocess.run(
        ["qemu-aarch64-static", tmp_path / RUNNER, "--model", tmp_path / "bundle" / "model.gguf", "--context", "64"],
        input=question, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    ready, done = map(json.loads, result.stdout.splitlines())
    assert ready["ready"]["parameters"] == card_of(tmp_path / "bundle")["parameters"]
    assert done["done"]["text"].startswith(", there was")
