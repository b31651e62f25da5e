"""The app's bytecode: sound, calling only what Android has, and doing what it should under a desktop's Java."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgelm.deploy.apk import package
from edgelm.deploy.apk.tools import find_tools, run
from edgelm.errors import MissingInput

HERE = Path(__file__).parent
SMALI = Path(package.__file__).parent / "smali"
REFERENCE = re.compile(r"(L[\w/$]+;)->([\w<>]+)(\([^)]*\)\S+|:\S+)")

RUNNER = """\
#!{python}
import os, sys
print("loading", " ".join(sys.argv[1:]), file=sys.stderr, flush=True)
print('{{"ready": "' + " ".join(sys.argv[1:]) + '"}}', flush=True)
for line in sys.stdin:
    if line == "die\\n":
        print("last words " + "x" * 3000 + " the end", file=sys.stderr, flush=True)
        os._exit(3)
    print('{{"echo": ' + line.strip() + "}}", flush=True)
"""


@pytest.fixture(scope="module")
def dex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        tools = find_tools()
    except MissingInput as error:
        pytest.skip(error.why)
    made = tmp_path_factory.mktemp("dex") / "classes.dex"
    run(tools.assemble(SMALI, made), seconds=120)
    return made


def test_what_the_app_calls_is_in_android_since_version_8() -> None:
    """`api.txt` lists what was looked up in Android's reference; a new call must be looked up and added there."""
    known = set((HERE / "jvm" / "api.txt").read_text().splitlines())
    called = {found[0] for file in SMALI.glob("*.smali") for found in REFERENCE.finditer(file.read_text())}
    assert {call for call in called if not call.startswith("Lapp/edgelm/")} == known


def test_only_the_thermal_status_is_newer_and_asked_where_it_is() -> None:
    text = (SMALI / "Phone.smali").read_text()
    guard, call = text.index("const/16 v1, 0x1d\n    if-lt v3, v1, :untold"), text.index("getCurrentThermalStatus")
    assert guard < call < text.index(":untold\n    return-object")


def test_dexdump_finds_it_sound_and_every_way_from_the_page_marked(dex: Path) -> None:
    if not shutil.which("dexdump"):
        pytest.skip("there is no dexdump: apt-get install dexdump")
    text = subprocess.run(["dexdump", "-a", dex], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Class descriptor  : 'Lapp/edgelm/Main;'" in text
    marked = re.findall(r"Annotations on method #\d+ '(\w+)'\n(?:\s+VISIBILITY_\w+ .*\n)*?\s+VISIBILITY_RUNTIME "
                        r"Landroid/webkit/JavascriptInterface;", text)  # fmt: skip
    page = (SMALI.parent / "page" / "session.js").read_text() + (SMALI.parent / "page" / "view.js").read_text()
    called = set(re.findall(r"\bbridge\.(\w+)\(", page))
    assert called == set(marked)


@pytest.fixture(scope="module")
def jar(dex: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The class path of the app as Java bytecode, beside as much of Android as it calls."""
    javac, enjarify = shutil.which("javac"), Path("/usr/lib/python3/dist-packages/enjarify")
    if not javac or not enjarify.is_dir():
        pytest.skip("there is no javac or enjarify: apt-get install default-jdk-headless enjarify")
    folder = tmp_path_factory.mktemp("jvm")
    translated, classes = folder / "app.jar", folder / "classes"
    subprocess.run(["/usr/bin/python3", "-O", "-m", "enjarify.main", dex, "-o", translated], check=True, timeout=120,
                   capture_output=True, env={"PATH": "/usr/bin:/bin"})  # fmt: skip
    with zipfile.ZipFile(translated) as opened:
        assert len(opened.namelist()) == len(list(SMALI.glob("*.smali")))
    for part in (HERE / "jvm" / "framework.txt").read_text(encoding="utf-8").split("=== ")[1:]:
        name, _, source = part.partition("\n")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")
    subprocess.run([javac, "-encoding", "UTF-8", "-proc:none", "-cp", translated, "-d", classes,
                    *folder.rglob("*.java")], check=True, timeout=120, capture_output=True)  # fmt: skip
    return f"{classes}:{translated}"


@pytest.mark.parametrize("sdk", [26, 34])
def test_the_app_under_java(jar: str, tmp_path: Path, sdk: int) -> None:
    weights = b"weights" * 10_000_000  # more than one stretch between words of progress
    for name, data in {"assets/card.json": '{"name": "é"}'.encode(), "files/model.gguf": weights}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(data)
    (tmp_path / "cache").mkdir()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/librunner.so").write_text(RUNNER.format(python=sys.executable))
    (tmp_path / "lib/librunner.so").chmod(0o755)
    result = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", f"-Dsdk={sdk}",
         "-Dstdout.encoding=UTF-8", "-Dfile.encoding=UTF-8", "-cp", jar, "app.edgelm.Drive", str(tmp_path)],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    said = dict(line.split("\t", 1) for line in result.stdout.decode().split("\n") if line)
    lines = {name: [json.loads(line) for line in text.split("\x1f") if line.startswith("{")]
             for name, text in said.items()}  # fmt: skip

    assert (said["url"], said["name"], said["flags"]) == ("file:///android_asset/index.html", "edgelm", "128")
    assert (said["created"], said["follows"], said["backs"], said["destroyed"]) == ("true", "false", "1", "true")
    assert json.loads(said["card"]) == {"name": "é"}
    phone = json.loads(said["phone"])
    assert phone.pop("thermal", None) == (2 if sdk >= 29 else None)
    assert phone.pop("cores") > 0
    assert phone == {
        "maker": "Example", "model": 'Phone "9"', "hardware": "qcom", "android": "14", "sdk": sdk, "lost": False,
        "memory": {"total": 12 * 10**9, "available": 5 * 10**9, "threshold": 3 * 10**8},
        "battery": {"temperature": 305, "level": 77, "plugged": -1}, "power_save": True,
    }  # fmt: skip
    path = str(tmp_path / "files/model.gguf")
    assert json.loads(said["weights"]) == {"path": path, "exists": True, "readable": True, "size": len(weights)}
    digest = {"checked": {"sha256": hashlib.sha256(weights).hexdigest()}}
    assert lines["checked"] == [{"checking": {"done": 2**26}}, digest]
    assert lines["checked again"] == [digest]
    assert "error" in lines["no weights"][-1]["checked"]

    assert (said["send before"], said["send"], said["die"], said["send after"]) == ("false", "true", "true", "false")
    assert "JSONException" in said["bad options"]
    assert said["start"] == said["start again"] == ""
    assert lines["ready"] == [{"ready": f"--model {path} --context 7"}]
    assert lines["ready again"] == [{"ready": f"--model {path}"}]
    assert lines["echo"] == [{"echo": {"say": "hé 渡"}}]
    (ended,) = (line["ended"] for line in lines["ended"])
    assert (ended["run"], ended["code"], len(ended["log"])) == ("run 1", 3, 2000)
    assert ended["log"].strip().endswith("the end")
    assert said["after stop"] == ""
    assert "librunner.so" in said["no runner"]

    assert said["kept"] == ""
    assert json.loads((tmp_path / "files/measure.json").read_bytes()) == {"figures": "é"}
    assert sorted(file.name for file in (tmp_path / "files").iterdir()) == ["measure.json"]
    assert (said["gone"], said["recreated"], said["view destroyed"]) == ("true", "1", "true")
    assert (said["lost"], said["lost once"]) == ("true", "false")
