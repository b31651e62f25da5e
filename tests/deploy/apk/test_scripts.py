"""The bundle's scripts, run against an `adb` that keeps a phone in a folder."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.deploy.apk import scripts
from edgelm.errors import EdgelmError

ADB = """\
#!/bin/sh
echo "$*" >> "$PHONE/calls"
inside() { printf '%s' "$1" | sed "s#/data/local/tmp#$PHONE/tmp#g; s#/sdcard#$PHONE/sdcard#g"; }
outside() { sed "s#$PHONE/tmp#/data/local/tmp#g; s#$PHONE/sdcard#/sdcard#g"; }
case "$1" in
  get-state) [ -z "${AWAY-}" ] || { echo "error: no devices/emulators found" >&2; exit 1; }; echo device ;;
  push)
    target="$(inside "$3")"
    if [ -n "${TORN-}" ]; then head -c 5 "$2" > "$target"; echo "adb: error: connection reset" >&2; exit 1; fi
    cp "$2" "$target"
    if [ -n "${BENT-}" ]; then printf x >> "$target"; fi ;;
  install) [ -z "${REFUSED-}" ] || { echo "Failure [$REFUSED]" >&2; exit 1; }; cp "$3" "$PHONE/base.apk" ;;
  shell)
    case "$2" in
      *"exec ./runner"*) PATH="$PHONE/bin:$PATH" sh -c "$(inside "$2")" ;;
      *) PATH="$PHONE/bin:$PATH" sh -c "$(inside "$2")" | outside ;;
    esac ;;
esac
"""
STUBS = {
    "getprop": 'case "$1" in *abilist) echo "${ABIS-arm64-v8a,armeabi-v7a}" ;; *sdk) echo "${LEVEL-34}" ;; esac',
    "pm": '[ ! -f "$PHONE/base.apk" ] || echo "package:$PHONE/base.apk"',
    "am": 'case "$1" in start) mkdir -p "$PHONE/sdcard/Android/data/app.edgelm/files"; echo "${OPENED-}" ;; esac',
    "mv": '[ -z "${STUCK-}" ] || { echo "mv: $STUCK" >&2; exit 1; }; exec /bin/mv "$@"',
    "rm": '[ -z "${KEEPS-}" ] || { echo "rm: $KEEPS" >&2; exit 1; }; exec /bin/rm "$@"',
    "df": 'echo "Filesystem 1K-blocks Used Available Use%"; echo "/x 9 9 ${FREE-9999999} 9%"',
}
RUNNER = """\
#!{python}
import json, sys
def say(value): print(json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True), flush=True)
assert sys.argv[1:5] == ["--model", "model.gguf", "--context", "2048"], sys.argv
print("log", file=sys.stderr)
say({{"ready": {{"bos": 1, "eos": [2], "args": sys.argv[5:]}}}})
asked = open("asked.jsonl", "w")
for line in sys.stdin:
    question = json.loads(line)
    asked.write(line)
    asked.flush()
    if question["op"] == "tokenize":
        say({{"ids": [3 + ord(sign) % 50 for sign in question["text"]]}})
    elif question["op"] == "memory":
        say({{"memory": {{"VmHWM": 1}}}})
    elif 99 in question["ids"]:
        sys.exit(3)
    else:
        count, texts = question["max_tokens"], [' say "hé"', "\\\\n\\n", "\\ttab", " %d 渡", ""]
        if not question.get("ignore_end"):
            for number, text in enumerate(texts):
                say({{"token": number, "text": text, "ns": 1}})
            count = len(texts)
        say({{"done": {{"ids": [0] * count, "text": "", "prompt_tokens": len(question["ids"]), "finish": "stop",
             "arrived_ns": [10**9 + 10**8 * n for n in range(count)], "memory": {{"VmHWM": 2500000000, "VmRSS": 1}}}}}})
"""
PASSAGE = "An island. " * 40

Bundle = tuple[Path, Path, Callable[..., Any]]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle's folder, the phone's folder, and `ask("run.sh", "words", AWAY="1")`."""
    out, phone, tools = tmp_path / "a bundle", tmp_path / "phone", tmp_path / "tools"
    for folder in (out, phone / "tmp", phone / "sdcard", phone / "bin", tools):
        folder.mkdir(parents=True)
    for place, texts in ((phone / "bin", {name: f"#!/bin/sh\n{text}\n" for name, text in STUBS.items()}),
                         (tools, {"adb": ADB})):  # fmt: skip
        for name, text in texts.items():
            (place / name).write_text(text)
            (place / name).chmod(0o755)
    (out / "model.gguf").write_bytes(b"weights" * 1000)
    (out / "runner").write_text(RUNNER.format(python=sys.executable))
    (out / "edgelm.apk").write_bytes(b"app")
    digests = {name: hashlib.sha256((out / name).read_bytes()).hexdigest()
               for name in ("model.gguf", "runner", "edgelm.apk")}  # fmt: skip
    scripts.write_passage(out, {"passage": PASSAGE})
    scripts.write_scripts(out, {
        "NAME": "it's a model", "PACKAGE": "app.edgelm", "ACTIVITY": "app.edgelm.Main", "DTYPE": "F16",
        "MODEL_SHA256": digests["model.gguf"], "MODEL_SIZE": 7000, "MODEL_SHOWN": scripts.size(7000),
        "MEMORY": scripts.size(16_200_000_000),
        "RUNNER_SHA256": digests["runner"], "RUNNER_SIZE": (out / "runner").stat().st_size,
        "APK_SHA256": digests["edgelm.apk"], "FOLDER": "/data/local/tmp/edgelm-1", "CONTEXT": 2048,
        "BEFORE": scripts.in_json("<|user|>\n'"), "BEHIND": scripts.in_json('"<|end|>'), "BEGINS": "no",
        "PROMPT_TOKENS": 30, "GENERATED_TOKENS": 11, "REPEATS": 2, "SIGNER": "a debug key",
    })  # fmt: skip

    def ask(script: str, *words: str, **variables: str) -> Any:
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PHONE": str(phone), "EDGELM_WAIT": "0",
                       **variables}  # fmt: skip
        return subprocess.run([out / script, *words], capture_output=True, text=True, timeout=60, check=False,
                              env=environment, cwd=tmp_path)  # fmt: skip

    return out, phone, ask


def pushes(phone: Path) -> list[str]:
    return [call.split()[1] for call in (phone / "calls").read_text().splitlines() if call.startswith("push")]


def test_a_question_is_answered_on_the_phone(bundle: Bundle) -> None:
    _, phone, ask = bundle
    result = ask("run.sh", 'What is "it",\nand\twhy', "\\n?", THREADS="3")
    assert result.returncode == 0, result.stderr
    assert result.stdout == ' say "hé"\\n\n\ttab %d 渡\n'
    assert (
        "5 tokens in 1.40 s, the first after 1.00 s, then 10.00 tokens a second; peak memory 2.50 GB" in result.stderr
    )
    asked = [json.loads(line) for line in (phone / "tmp/edgelm-1/asked.jsonl").read_text().splitlines()]
    text = "<|user|>\n'" + 'What is "it",\nand\twhy \\n?' + '"<|end|>'
    assert asked[0] == {"op": "tokenize", "text": text}
    assert asked[1] == {"op": "generate", "ids": [3 + ord(sign) % 50 for sign in text], "max_tokens": 256,
                        "stream": True}  # fmt: skip


def test_a_long_text_leaves_less_room_for_the_answer_or_none(bundle: Bundle) -> None:
    _, phone, ask = bundle
    around = len("<|user|>\n'" + '"<|end|>')
    assert ask("run.sh", "x" * (2000 - around)).returncode == 0
    asked = (phone / "tmp/edgelm-1/asked.jsonl").read_text().splitlines()
    assert json.loads(asked[1])["max_tokens"] == 48
    result = ask("run.sh", "x" * (2048 - around))
    assert result.returncode == 2
    assert "longer than the context of 2048 tokens" in result.stderr


def test_what_is_on_the_phone_is_not_sent_again(bundle: Bundle) -> None:
    out, phone, ask = bundle
    for _ in range(2):
        assert ask("run.sh", "x").returncode == 0
    assert pushes(phone) == ["runner", "model.gguf"]
    (phone / "tmp/edgelm-1/model.gguf").write_bytes(b"short")
    assert ask("run.sh", "x").returncode == 0
    assert pushes(phone) == ["runner", "model.gguf", "model.gguf"]
    assert (phone / "tmp/edgelm-1/model.gguf").read_bytes() == (out / "model.gguf").read_bytes()


def test_a_measurement_reads_and_makes_the_exact_numbers(bundle: Bundle) -> None:
    out, phone, ask = bundle
    result = ask("run.sh", "--measure")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    figures = ("11 tokens in 2.00 s, the first after 1.00 s, then 10.00 tokens a second; "
               "prompt read at 30.0, in all 20.5 tokens a second; peak memory 2.50 GB")  # fmt: skip
    assert lines[:3] == [f"{name}: {figures}" for name in ("warm-up", "repeat 1 of 2", "repeat 2 of 2")]
    asked = [json.loads(line) for line in (phone / "tmp/edgelm-1/asked.jsonl").read_text().splitlines()]
    ids = [3 + ord(sign) % 50 for sign in PASSAGE[:30]]
    assert asked[0]["text"] == PASSAGE * 8
    assert asked[1:4] == [{"op": "generate", "ids": ids, "max_tokens": 11, "ignore_end": True}] * 3
    kept = [json.loads(line) for line in (out / "measure.jsonl").read_text().splitlines()]
    assert [next(iter(line)) for line in kept] == ["ready", "done", "done", "memory"]


def test_clean_removes_what_was_sent(bundle: Bundle) -> None:
    _, phone, ask = bundle
    ask("run.sh", "x")
    assert ask("run.sh", "--clean").returncode == 0
    assert list((phone / "tmp").iterdir()) == []


def test_what_cannot_be_removed_is_said(bundle: Bundle) -> None:
    _, _, ask = bundle
    ask("run.sh", "x")
    result = ask("run.sh", "--clean", KEEPS="Operation not permitted")
    assert result.returncode == 2
    assert "rm: Operation not permitted" in result.stderr


def test_help_is_the_head_of_the_script(bundle: Bundle) -> None:
    _, _, ask = bundle
    said = ask("run.sh").stdout
    assert "./run.sh --measure" in said
    assert "ANDROID_SERIAL" in said


def test_the_script_may_be_called_from_elsewhere_and_knows_its_options(bundle: Bundle) -> None:
    out, _, ask = bundle
    result = subprocess.run(["sh", f"{out.name}/run.sh"], capture_output=True, text=True, check=False, cwd=out.parent)
    assert "./run.sh --measure" in result.stdout and not result.stderr
    mistyped = ask("run.sh", "--mesure")
    assert mistyped.returncode and "there is no option --mesure" in mistyped.stderr


@pytest.mark.parametrize("script", ["run.sh", "install.sh"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"AWAY": "1"}, "USB debugging"),
        ({"ABIS": "x86_64"}, "not arm64-v8a"),
        ({"FREE": "1"}, "free some space"),
        ({"TORN": "1"}, "could not be pushed"),
        ({"BENT": "1"}, "did not arrive whole"),
        ({"STUCK": "Read-only file system"}, "mv: Read-only file system"),
    ],
)
def test_faults_are_said_and_a_second_try_works(bundle: Bundle, script: str, fault: dict[str, str], said: str) -> None:
    _, phone, ask = bundle
    result = ask(script, "x", **fault)
    assert result.returncode == 2
    assert said in result.stderr
    assert "ready" not in result.stdout
    assert not list(phone.rglob("*.partial"))
    again = ask(script, "x")
    assert again.returncode == 0, again.stderr


def test_a_runner_that_dies_is_said(bundle: Bundle) -> None:
    out, _, ask = bundle
    text = (out / "run.sh").read_text().replace("begins=no", "begins=yes")
    (out / "run.sh").write_text(text)
    (out / "runner").write_text((out / "runner").read_text().replace('"bos": 1', '"bos": 99'))
    digest = hashlib.sha256((out / "runner").read_bytes()).hexdigest()
    head = [f"runner_sha256={digest}" if line.startswith("runner_sha256=")
            else f"runner_size={(out / 'runner').stat().st_size}" if line.startswith("runner_size=") else line
            for line in text.splitlines()]  # fmt: skip
    (out / "run.sh").write_text("\n".join(head) + "\n")
    result = ask("run.sh", "x")
    assert result.returncode == 2
    assert "the runner ended" in result.stderr
    assert "log" in result.stderr


def test_installing_twice_sends_once(bundle: Bundle) -> None:
    out, phone, ask = bundle
    first, second = ask("install.sh"), ask("install.sh")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert pushes(phone) == ["model.gguf"]
    assert (phone / "calls").read_text().count("install -r edgelm.apk") == 1
    files = phone / "sdcard/Android/data/app.edgelm/files"
    assert [file.name for file in files.iterdir()] == ["model.gguf"]
    assert (files / "model.gguf").read_bytes() == (out / "model.gguf").read_bytes()
    assert "the weights are there" in second.stdout


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"REFUSED": "INSTALL_FAILED_UPDATE_INCOMPATIBLE"}, "adb uninstall app.edgelm"),
        ({"REFUSED": "INSTALL_FAILED_INSUFFICIENT_STORAGE"}, "storage is full"),
        ({"REFUSED": "INSTALL_FAILED_OTHER"}, "INSTALL_FAILED_OTHER"),
        ({"LEVEL": "25"}, "26 (Android 8)"),
        ({"OPENED": "Error: Activity class does not exist."}, "could not be opened"),
    ],
)
def test_an_app_that_cannot_be_installed(bundle: Bundle, fault: dict[str, str], said: str) -> None:
    _, _, ask = bundle
    result = ask("install.sh", **fault)
    assert result.returncode == 2
    assert said in result.stderr


def test_without_adb_the_package_is_named(bundle: Bundle, tmp_path: Path) -> None:
    _, _, ask = bundle
    (tmp_path / "few").mkdir()
    for name in ("sh", "dirname"):
        (tmp_path / "few" / name).symlink_to(f"/bin/{name}")
    result = ask("install.sh", PATH=str(tmp_path / "few"))
    assert result.returncode == 2
    assert "apt-get install adb" in result.stderr


def test_the_readme_has_no_open_place(bundle: Bundle) -> None:
    out, _, _ = bundle
    text = (out / "README.txt").read_text()
    assert "it's a model" in text
    assert "@" not in text
    assert "the weights (7 kB)" in text and "about 16.2 GB with" in text


@pytest.mark.parametrize(("number", "shown"), [
    (999, "999 B"), (376_640, "377 kB"), (999_949, "1 MB"), (999_499, "999 kB"), (5_559_367_680, "5.56 GB"),
])  # fmt: skip
def test_sizes_have_the_unit_that_they_fill(number: int, shown: str) -> None:
    assert scripts.size(number) == shown


def test_a_value_that_nobody_gives_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(EdgelmError, match="nobody gives"):
        scripts.write_scripts(tmp_path, {})
