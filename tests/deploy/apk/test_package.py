"""The APK: what Android's own tools say of it, and equal bytes for equal inputs."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from edgelm.deploy.apk.key import Key, debug_key, own_key
from edgelm.deploy.apk.package import ACTIVITY, RUNNER, App, build_apk, label_of
from edgelm.deploy.apk.page import page
from edgelm.deploy.apk.tools import Tools, find_tools, run
from edgelm.errors import EdgelmError, MissingInput

PROGRAM = b"\x7fELF" + bytes(range(256)) * 64


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        return find_tools()
    except MissingInput as error:
        pytest.skip(error.why)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def key(tools: Tools, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Key:
    monkeypatch.setenv("EDGELM_CACHE", str(cache))
    return debug_key(tools, lambda what, done, of: None)


def built(folder: Path, tools: Tools, key: Key, **changes: object) -> Path:
    (folder / "runner").write_bytes(PROGRAM)
    app = App(**{"package": "org.example.island", "label": "an island", "card": {"name": "é"},
                 "runner": folder / "runner", **changes})  # type: ignore[arg-type]  # fmt: skip
    build_apk(app, folder / "app.apk", tools, key, lambda what, done, of: None)
    return folder / "app.apk"


def said(*command: object) -> str:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=True, timeout=60).stdout


def test_androids_tools_find_it_sound(tools: Tools, key: Key, tmp_path: Path) -> None:
    apk = built(tmp_path, tools, key)
    badging = said("aapt", "dump", "badging", apk)
    for line in ("package: name='org.example.island' versionCode='1'", "sdkVersion:'26'", "targetSdkVersion:'34'",
                 "application-label:'an island'", "native-code: 'arm64-v8a'",
                 f"launchable-activity: name='{ACTIVITY}'"):  # fmt: skip
        assert line in badging
    assert "permission" not in said("aapt", "dump", "permissions", apk)
    tree = said("aapt", "dump", "xmltree", apk, "AndroidManifest.xml")
    assert "android:extractNativeLibs(0x010104ea)=(type 0x12)0xffffffff" in tree
    assert "android:exported(0x01010010)=(type 0x12)0xffffffff" in tree
    said("zipalign", "-c", "-p", "4", apk)
    verified = said("apksigner", "verify", "--verbose", "--min-sdk-version", "26", apk)
    assert "v2 scheme (APK Signature Scheme v2): true" in verified
    assert "v3 scheme (APK Signature Scheme v3): true" in verified


def test_it_holds_page_card_code_and_runner(tools: Tools, key: Key, tmp_path: Path) -> None:
    with zipfile.ZipFile(built(tmp_path, tools, key)) as apk:
        assert apk.read(RUNNER) == PROGRAM
        assert apk.read("assets/index.html").decode() == page()
        assert apk.read("assets/card.json").decode() == '{"name": "é"}'
        assert f"L{ACTIVITY.replace('.', '/')};".encode() in apk.read("classes.dex")
        assert apk.getinfo("resources.arsc").compress_type == zipfile.ZIP_STORED


def test_equal_inputs_give_equal_bytes_and_the_bytecode_is_made_once(
    tools: Tools, key: Key, cache: Path, tmp_path: Path
) -> None:
    first = built(tmp_path, tools, key).read_bytes()
    (dex,) = (cache / "android").glob("classes-*.dex")
    changed = dex.stat().st_mtime_ns
    assert built(tmp_path, tools, key).read_bytes() == first
    assert dex.stat().st_mtime_ns == changed
    assert built(tmp_path, tools, key, card={"name": "other"}).read_bytes() != first


def test_a_key_of_ones_own_signs(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("EDGELM_CACHE", str(cache))
    monkeypatch.setenv("WORD", "a secret")
    store = tmp_path / "own.p12"
    run([tools.keytool, "-genkeypair", "-keystore", str(store), "-storetype", "PKCS12", "-storepass", "a secret",
         "-alias", "me", "-keyalg", "RSA", "-dname", "CN=Somebody"], seconds=60)  # fmt: skip
    apk = built(tmp_path, tools, own_key(store, "me", "WORD"))
    assert "CN=Somebody" in said("apksigner", "verify", "--print-certs", apk)
    apk.unlink()
    monkeypatch.setenv("WORD", "a wrong one")
    with pytest.raises(EdgelmError, match="apksigner failed") as failed:
        built(tmp_path, tools, own_key(store, "me", "WORD"))
    assert "a wrong one" not in str(failed.value)
    assert not apk.exists()


@pytest.mark.parametrize(
    ("name", "label"),
    [("phi-2", "phi-2"), ("@string/x", "string x"), ('a "b" <c>&\\n', "a b c n"), ("渡轮", "渡轮"), ("?!", "edgelm"),
     ("x" * 50, "x" * 30)],
)  # fmt: skip
def test_labels_mean_nothing_to_the_manifest(name: str, label: str) -> None:
    assert label_of(name) == label
