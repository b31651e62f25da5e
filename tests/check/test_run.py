"""The whole run: what is said once, what is asked for, what is hostile, what comes out as JSON."""

from __future__ import annotations

import io
import json
import os
import time
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgelm.check.base import worst
from edgelm.check.fetch import Fetched, Unreachable
from edgelm.check.imports import _seen
from edgelm.check.look import Package
from edgelm.check.run import as_json, check
from edgelm.errors import MissingInput, UnknownName
from edgelm.plugins import parse
from edgelm.rules import Rules
from edgelm.submission import Submission

CONFIG = "models/base/checkpoint/config.json"
HEAD = "lm_head.weight"


def spoil(tensors: dict[str, Any]) -> None:
    tensors[HEAD][3, 5] = float("nan")
    tensors[HEAD][4, 6] = float("-inf")


def test_what_several_checks_meet_is_said_once(package: Any, rules: Rules) -> None:
    package.truncate()
    assert [finding.code for finding in check(package.path, rules)] == ["CKP-02"]


def test_findings_are_all_there_and_gravest_first(package: Any, rules: Rules) -> None:
    package.edit_config(quantization_config={}, dtype="float32")
    package.edit_card(data=[{"name": "pile"}])
    package.edit_task(score="100")
    codes = [finding.code for finding in check(package.path, rules)]
    assert codes == ["DAT-01", "QNT-01", "RPT-04", "CLM-10", "DTY-04"]


def test_values_are_read_only_when_asked_for(package: Any, rules: Rules) -> None:
    package.edit_tensors(spoil)
    assert check(package.path, rules) == []
    (found,) = check(package.path, rules, values=True)
    assert found.what == f"{HEAD} has 2 NaN or infinite values"


def test_a_secret_is_never_echoed(package: Any, rules: Rules) -> None:
    secret = "hf_" + "a1B2" * 9
    package.write("source/run.sh", f"# first\nexport TOKEN={secret}")
    findings = check(package.path, rules)
    assert secret not in json.dumps(as_json(findings))
    assert "line 2" in findings[0].what


def test_the_track_asked_for_must_be_the_one_named(package: Any, rules: Rules) -> None:
    codes = {finding.code for finding in check(package.path, rules, track="from-scratch")}
    assert codes == {"PKG-04", "MDL-01", "MDL-03"}  # a model in no slot of the track is not looked at
    with pytest.raises(UnknownName):
        check(package.path, rules, track="swimming")


def test_a_score_by_a_protocol_of_another_suite_counts_where_the_rules_pin_it(package: Any, rules: Rules) -> None:
    package.edit_task(protocol="elsewhere/gsm8k-1d7fe4")
    assert "RPT-03" in {found.code for found in check(package.path, rules)}
    pinning = replace(rules, versions=("elsewhere/gsm8k-1d7fe4",))
    assert "RPT-03" not in {found.code for found in check(package.path, pinning)}


def found_of(package: Any, rules: Rules, code: str, **options: Any) -> list[tuple[str, str]]:
    found = [one for one in check(package.path, rules, **options) if one.code == code]
    return [(one.severity, f"{one.what}: {one.mend}") for one in found]


def test_what_the_rules_ask_for_and_the_report_lacks_is_told(package: Any, rules: Rules) -> None:
    tasks = json.loads((package.model / "report/report.json").read_text())["tasks"]
    lacking: list[tuple[dict[str, object], str]] = [
        ({"speed": None, "memory": {}}, "no speed or memory was measured, so that no score counts: edgelm measure"),
        ({"speed": None}, "no speed was measured, so that no throughput counts: edgelm measure"),
        ({"memory": {"pss": 1}}, "no memory was measured by host-peak, so that no score counts: edgelm measure"),
        ({"tasks": {}}, "no task was evaluated: edgelm evaluate"),
        ({"tasks": {"gsm8k": tasks["gsm8k"]}}, "not evaluated: commonsenseqa, chid: edgelm evaluate"),
    ]  # fmt: skip
    for changes, what in lacking:
        copied = type(package)(package.twin(str(len(what))))
        copied.edit("models/base/report/report.json", **changes)
        copied.relist()
        ((severity, said),) = found_of(copied, rules, "RPT-02")
        assert severity == "W" and said.startswith(what)
    package.remove("models/base/report")
    ((severity, said),) = found_of(package, rules, "RPT-02")
    assert severity == "W" and "edgelm evaluate and edgelm measure" in said and "stopped" not in said


def test_the_secret_task_is_none_that_a_report_may_lack(package: Any, rules: Rules) -> None:
    secret = replace(rules, tasks=(*rules.tasks, "holdout", "gsm8k-new"), holdouts=("gsm8k-new",))
    assert found_of(package, secret, "RPT-02") == []


@pytest.mark.parametrize("line", range(4))
def test_damaged_answers_are_for_a_reviewer_once(package: Any, rules: Rules, line: int) -> None:
    path = package.model / "report/answers/gsm8k.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b"answer is 4", b"answer is 5")
    package.write("models/base/report/answers/gsm8k.jsonl", b"".join(lines))
    for beside in ([], [package.twin(f"other{line}")]):
        ((severity, said),) = found_of(package, rules, "RPT-04", beside=beside)
        assert severity == "R" and said.startswith(f"{'the last line' if line == 3 else f'line {line + 1}'} of models/")
        assert said.endswith("is damaged: evaluate again, and pack again")
        assert found_of(package, rules, "RPT-02", beside=beside) == []


def test_a_damaged_report_is_refused_beside_another_too(package: Any, rules: Rules) -> None:
    other = package.twin()
    package.write("models/base/report/report.json", "{")
    assert worst(check(package.path, rules, beside=[other])) == "E"


def test_a_link_whose_host_cannot_be_asked_is_for_a_reviewer(package: Any, rules: Rules) -> None:
    def fetch(url: str, size: int) -> Fetched:
        raise Unreachable("huggingface.co cannot be found from here")

    link = {"path": "models/base/more", "url": "https://huggingface.co/a/b", "size": 3, "sha256": "a" * 64}
    package.write("links.json", json.dumps([link]))
    ((severity, said),) = found_of(package, rules, "LNK-01", fetch=fetch)
    assert severity == "R" and "not checked" in said and "allowed hosts" not in said


def test_hosts_of_links_are_those_that_are_given(package: Any, rules: Rules) -> None:
    link = {"path": "models/base/more", "url": "https://files.example.org/a", "size": 3, "sha256": "a" * 64}
    package.write("links.json", json.dumps([link]))
    ((severity, said),) = found_of(package, rules, "LNK-01")
    assert severity == "E" and "files.example.org is none of" in said
    assert not found_of(package, rules, "LNK-01", hosts=("example.org",))


@pytest.mark.parametrize(("head", "is_shown"), [
    (b"\x89PNG\r\n\x1a\n", True), (b"\xff\xd8\xff\xe0", True), (b"RIFF\x0a\0\0\0WEBPVP8", True), (b"picture", False),
    (b"", False), (b"RIFF\0\0\0\0WAVE", False),
])  # fmt: skip
def test_a_screenshot_is_a_picture(package: Any, rules: Rules, head: bytes, is_shown: bool) -> None:
    package.write("models/base/proof/app.png", head)
    assert bool(found_of(package, rules, "BND-03")) is not is_shown


def test_there_must_be_something_to_check(tmp_path: Path, rules: Rules) -> None:
    with pytest.raises(MissingInput):
        check(tmp_path / "absent", rules)


def test_json_counts_the_findings(package: Any, rules: Rules) -> None:
    package.remove("models/base/proof", "source/requirements.txt")
    found = as_json(check(package.path, rules))
    assert (found["worst"], found["counts"]) == ("W", {"E": 0, "R": 0, "W": 2, "I": 0})
    assert found["findings"][0]["code"] == "BND-03"


HOSTILE = [
    '{"a": ' * 5000, "[1, 2]", "null", '{"model_type": {}}', '"\\ud800"', '{"data": 5, "files": [[]], "tasks": 1}',
    "\x00",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", [
    "edgelm.json", "results.csv", "models/base/card.json", CONFIG, "models/base/checkpoint/generation_config.json",
    "models/base/checkpoint/tokenizer.json", "models/base/checkpoint/tokenizer_config.json",
    "models/base/checkpoint/model.safetensors.index.json", "models/base/report/report.json",
    "models/base/report/answers/gsm8k.jsonl", "models/base/bundle/bundle.json",
])  # fmt: skip
def test_no_hostile_file_ends_the_run(package: Any, rules: Rules, name: str, text: str) -> None:
    (package.path / name).write_text(text)
    assert worst(check(package.path, rules, values=True)) == "E"  # at the least, it is not the listed file


@pytest.mark.parametrize("label", ["gsm8k-fixed", "bbh-navigate+snarks", "mmlu-likelihood"])
def test_a_score_that_does_not_count_is_told_and_nothing_more(package: Any, rules: Rules, label: str) -> None:
    package.add_task(label, protocol=f"opencompass-0.3.1/{label}-000000+fixed-1", score="30")  # no plain mean
    (found,) = check(package.path, rules)
    assert (found.code, found.severity) == ("RPT-05", "I") and f"{label}: " in found.what


def test_a_million_findings_of_one_code_are_a_hundred_and_a_number(package: Any, rules: Rules) -> None:
    for number in range(150):
        (package.path / f"source/{number:03}.txt").write_text("x")
    found = [one for one in check(package.path, rules) if one.code == "PKG-06"]
    assert len(found) == 101 and found[-1].what == "and 50 more such findings"


def test_models_are_read_one_by_one_and_only_in_slots_of_the_track(package: Any, rules: Rules) -> None:
    package.edit("edgelm.json", models={"base": "models/base", "more": "models/more"})
    with Submission(package.path) as submission:
        opened = Package(submission, rules, None)
        (first,), (again,) = opened.models, opened.models
        assert first.slot == "base" and first is not again and len(first.answers("gsm8k")) == 4
        assert first.answers("gsm8k") is first.answers("gsm8k")
    (package.path / "edgelm.json").write_text("{")
    for number in range(40):
        (package.path / f"models/m{number}").mkdir()
    with Submission(package.path) as submission:
        assert len(list(Package(submission, rules, None).models)) == 16


def test_a_data_set_of_another_size_than_the_pinned_one_is_for_a_reviewer(package: Any, rules: Rules) -> None:
    official = replace(rules, suite=Rules.suite)
    told = [one.what for one in check(package.path, official) if (one.code, one.severity) == ("RPT-02", "R")]
    assert "gsm8k: the data is said to have 4 rows, it has 1,319" in told and len(told) == 3
    package.edit_task(of=1319)
    told = [one.what for one in check(package.path, official) if (one.code, one.severity) == ("RPT-02", "R")]
    assert len(told) == 2 and not any("gsm8k" in what for what in told)


def bomb(members: int, size: int = 1, name: str = "data.pkl") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"{number}/{name}", bytes(size))
    return data.getvalue()


@pytest.mark.parametrize("data", [bomb(65), bomb(2, 40 << 20), bomb(10_001, name="x"), bomb(1)[:-5]])
def test_a_zip_with_too_much_in_it_is_not_looked_into(package: Any, rules: Rules, data: bytes) -> None:
    package.write("source/state.pt", data)
    package.write("models/base/bundle/app.apk", data)
    found = {one.code: one.what for one in check(package.path, rules)}
    assert "cannot be looked into" in found["SEC-01"] and "BND-02" in found


@pytest.mark.parametrize("text", ["a/" * 500_000, "\n" * 1_000_000 + "(", "(" + "x.y" * 100_000, "f(" * 400_000])
def test_no_source_takes_long_to_be_read(text: str) -> None:
    started = time.process_time()
    for is_python in (True, False):
        _seen(text, is_python)
    assert time.process_time() - started < 10


@pytest.mark.parametrize("line", [
    "import os, bitsandbytes", "import os; import hqq.core", "from transformers import (AutoConfig, AwqConfig)",
    "from torch import nn, quantization as q", "model = load(load_in_4bit=True)", "import_module('awq')",
])  # fmt: skip
@pytest.mark.parametrize("rest", ["print 'another Python'\n", "x = 1\n" * 200_000])
def test_source_without_a_syntax_tree_is_read_word_by_word(package: Any, rules: Rules, line: str, rest: str) -> None:
    package.write("models/base/code/run.py", f"{line}\n{rest}y = 'gsm8k/test.jsonl'\n")
    assert {(one.code, one.severity) for one in check(package.path, rules)} == {
        ("QNT-04", "E"), ("DAT-03", "R"), ("CKP-08", "I")
    }  # fmt: skip


@pytest.mark.parametrize("rest", ["print 'another Python'\n", "x = 1\n" * 200_000])
def test_words_that_only_begin_as_a_library_does_say_nothing(package: Any, rules: Rules, rest: str) -> None:
    package.write("models/base/code/run.py", f"from .awq import x, quantization\nquipu = eetq_2 = 1  # hawq\n{rest}")
    assert {one.code for one in check(package.path, rules)} == {"CKP-08"}


def test_whatever_is_wrong_with_another_package_is_no_finding(package: Any, rules: Rules) -> None:
    """Its weights are a folder, its answers are none, a header is a pipe that would never end."""
    other = package.twin() / "models/base"
    weights = other / "checkpoint/model.safetensors"
    for name in ("report/answers/gsm8k.jsonl", "checkpoint/model.safetensors"):
        (other / name).unlink()
        (other / name).mkdir()
    (other / "checkpoint/again.safetensors").symlink_to(other)
    beside = [package.path.parent / "other"]
    assert check(package.path, rules, beside=beside) == []
    weights.rmdir()
    (other / "checkpoint/again.safetensors").unlink()
    os.mkfifo(other / "checkpoint/again.safetensors")
    assert check(package.path, rules, beside=beside) == []


def test_a_long_key_with_many_below_it_takes_no_memory_of_its_own(package: Any, rules: Rules) -> None:
    long = "k" * (1 << 20)
    package.edit("models/base/checkpoint/generation_config.json", **{long: {str(n): n for n in range(5000)}})
    package.refit()
    tracemalloc.start()
    assert check(package.path, rules) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    package.edit("models/base/checkpoint/generation_config.json", a={"auto_map": [{"b.c": "x/y"}]})
    package.refit()
    (found,) = check(package.path, rules)
    assert (found.code, found.what) == ("CKP-09", "a.auto_map.b.c: 'x/y' is code of a repository")


def test_adapters_in_the_source_are_left_alone(package: Any, rules: Rules) -> None:
    package.write("source/adapter_model.safetensors", package.weights.read_bytes())
    assert check(package.path, rules) == []


def test_what_the_verbs_write_into_a_card_is_known(package: Any, rules: Rules) -> None:
    package.edit_card(data_allowed=True, overlap={}, quantized=False, versions={}, options=[], search={}, shape={})
    assert check(package.path, rules) == []


def test_a_score_of_a_holdout_that_the_rules_do_not_pin_is_named(package: Any) -> None:
    package.add_task("holdout", protocol="miniature-1/holdout-me")
    rules = parse("rules", "miniature:tasks=gsm8k+holdout,holdouts=holdout")
    assert any(found.code == "RPT-03" and "only the organiser" in found.what for found in check(package.path, rules))
