"""The app's page: one file, a session that holds in every state, and a screen that shows it."""

from __future__ import annotations

import html
import json
import re
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgelm.deploy.apk import page as module
from edgelm.deploy.apk.page import page
from edgelm.devices.app import read_kept
from edgelm.devices.timing import Repeat, speed_of
from edgelm.report import Workload

HERE = Path(__file__).parent
SESSION = Path(module.__file__).parent / "page" / "session.js"


def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    text = page()
    assert "@FILE" not in text
    assert not re.search(r"https?://|<link|<img|src=|@import|url\(", text)
    assert "default-src 'none'" in text
    for part in ("class Session", "class View", "prefers-color-scheme: dark"):
        assert text.count(part) == 1, part


def test_every_element_that_the_script_looks_for_is_there_once() -> None:
    text = page()
    ids = re.findall(r'\bid="([\w-]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"""(?:\$|put|putCommand)\("([\w-]+)\"""", text)) <= set(ids)


@pytest.fixture(scope="module")
def scenes() -> dict[str, Any]:
    node = shutil.which("node")
    if not node:
        pytest.skip("there is no node: apt-get install nodejs")
    result = subprocess.run([node, HERE / "page_session.js", SESSION], capture_output=True, text=True, timeout=60,
                            check=False)  # fmt: skip
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_it_checks_the_weights_then_starts_the_runner(scenes: dict[str, Any]) -> None:
    assert scenes["starts"] == {"phases": ["checking", "loading", "ready"], "started": [["--context", "4096"]]}


def test_weights_that_come_later_are_found(scenes: dict[str, Any]) -> None:
    assert scenes["lacks_weights"]["phases"] == ["weights", "checking", "loading", "ready"]


def test_weights_that_are_being_pushed_are_waited_for(scenes: dict[str, Any]) -> None:
    assert scenes["sees_them_arrive"] == {"phases": ["weights", "checking", "loading", "ready"], "part": 0.25}


@pytest.mark.parametrize(
    ("scene", "phases", "why"),
    [
        ("cannot_read", ["unreadable"], None),
        ("has_other_size", ["wrong"], "size"),
        ("has_other_digest", ["checking", "wrong"], "digest"),
        ("may_not_start", ["checking", "loading", "died"], "start"),
    ],
)
def test_weights_and_starts_that_fail_are_named(
    scenes: dict[str, Any], scene: str, phases: list[str], why: Any
) -> None:
    assert scenes[scene]["phases"] == phases
    assert scenes[scene].get("why") == why
    assert not scenes["has_other_digest"]["started"]


def test_an_answer_streams_in_pieces_that_go_on_where_the_last_one_ended(scenes: dict[str, Any]) -> None:
    scene = scenes["answers"]
    answer, (tokenized, *generated) = scene["answer"], scene["asked"]
    assert scene["phases"] == ["checking", "loading", "ready", "answering", "ready"]
    assert tokenized == {"op": "tokenize", "text": "<|user|>\nWhat is an island?<|end|>\n"}
    assert answer["text"] == "An island is land with water on every side ."
    assert (answer["tokens"], answer["end"], answer["peak"]) == (10, "stop", 8_640_000_000)
    assert all(one["reuse"] and one["stream"] and one["max_tokens"] == 8 for one in generated)
    assert [len(one["ids"]) - len(generated[0]["ids"]) for one in generated] == [0, 8]
    assert answer["first"] == pytest.approx(1.995e9, rel=0.01)


def test_speed_counts_the_tokens_behind_the_first(scenes: dict[str, Any]) -> None:
    # The second piece's clock starts again: 8 tokens took 2.66 s of which 1.99 s the first, 2 more 0.29 s.
    assert scenes["answers"]["answer"]["speed"] == pytest.approx(9 / (2.66 - 1.995 + 0.285), rel=0.02)


def test_a_plain_text_begins_with_the_token_that_begins_texts(scenes: dict[str, Any]) -> None:
    assert scenes["begins_plain_text"] == {"first": [1, 100], "text": "Once"}


def test_a_piece_that_ends_within_a_character_is_made_again(scenes: dict[str, Any]) -> None:
    scene = scenes["answers_within_characters"]
    assert scene["text"] == "a b c d e f 渡 h"
    first, second, *_ = scene["lengths"]
    assert second - first == 6


def test_stop_ends_the_answer_after_its_piece(scenes: dict[str, Any]) -> None:
    scene = scenes["is_stopped"]
    assert scene["phases"][-2:] == ["answering", "ready"]
    assert scene["end"] == "stopped"
    assert scene["tokens"] <= 16
    assert scene["questions"] <= 3


def test_a_text_longer_than_the_context_is_said(scenes: dict[str, Any]) -> None:
    assert scenes["has_no_room"]["phases"][-1] == "ready"
    assert scenes["has_no_room"]["end"] == "failed"
    assert "the context 10" in scenes["has_no_room"]["why"]


def test_a_runner_that_is_killed_was_out_of_memory(scenes: dict[str, Any]) -> None:
    scene = scenes["dies_while_answering"]
    assert scene["phases"][-2:] == ["answering", "died"]
    assert (scene["over"], scene["why"], scene["end"], scene["log"]) == (True, "memory", "failed", "out of memory")
    assert scenes["finds_no_memory"] == {"phase": "died", "why": "memory"}
    assert scenes["refuses_the_file"]["why"] == "code 2"
    assert scenes["refuses_the_file"]["said"]["mend"] == "push it again"


def test_a_runner_that_breaks_down_was_not_out_of_memory(scenes: dict[str, Any]) -> None:
    assert scenes["breaks_down_while_answering"] == {
        "phase": "died", "why": "code 3", "log": "assertion failed", "end": "the runner broke down",
    }  # fmt: skip


def test_it_measures_the_exact_workload_as_edgelm_does(scenes: dict[str, Any]) -> None:
    scene = scenes["measures"]
    report, generated = scene["kept"], [one for one in scene["asked"] if one["op"] == "generate"]
    assert scene["phases"][-2:] == ["measuring", "ready"]
    assert len(generated) == 6  # a warm-up, five repeats
    assert all(
        len(one["ids"]) == 1500 and one["max_tokens"] == 500 and one["ignore_end"] and "reuse" not in one
        for one in generated
    )
    workload = Workload.model_validate(report["workload"])
    repeats = [Repeat(tuple(map(int, one["arrived_ns"])), tuple(one["ids"]), one["prompt_tokens"])
               for one in report["repeats"]]  # fmt: skip
    speed, found = speed_of(workload, "phone", repeats, vocab=51200), report["figures"]
    assert found["prefill"] == pytest.approx(speed.prefill)
    assert found["decode"] == pytest.approx(speed.decode)
    assert found["throughput"] == pytest.approx(float(speed.throughput))
    assert found["spread"] == pytest.approx(speed.spread)
    assert found["first_token_ns"] == statistics.median(speed.first_token_ns)
    assert found["repeats_ns"] == speed.repeats_ns
    extra = speed.model_dump()
    assert (found["inter_token_median_ns"], found["inter_token_p95_ns"], found["noisy"]) == (
        extra["inter_token_median_ns"], extra["inter_token_p95_ns"], extra["noisy"])  # fmt: skip
    assert report["checkpoint"] == "5e" * 32
    assert report["memory"]["phone"] == 8_640_000_000
    assert report["phone"]["before"]["model"] == report["phone"]["after"]["model"] == "Phone 9"
    assert "passage" not in report["card"]


def test_what_it_keeps_can_be_read_back(scenes: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "measure.json").write_text(json.dumps(scenes["measures"]["kept"]))
    kept = read_kept(str(tmp_path / "measure.json"))
    assert kept.workload == Workload(prompt_tokens=1500, generated_tokens=500, repeats=5)
    assert len(kept.repeats) == 5 and kept.memory.phone > 0 and kept.rates.read_bytes_per_second > 0
    assert kept.phone.before.model and kept.phone.before.memory.total and kept.phone.after.battery.level


def test_a_report_that_cannot_be_kept_is_said_and_shown_all_the_same(scenes: dict[str, Any]) -> None:
    assert "No space left" in scenes["cannot_keep"]["kept"]
    assert scenes["cannot_keep"]["figures"]["decode"] > 0


def test_a_cancelled_measurement_leaves_nothing_and_starts_anew(scenes: dict[str, Any]) -> None:
    scene = scenes["is_cancelled"]
    assert scene["phases"][-3:] == ["measuring", "loading", "ready"]
    assert (scene["measure"], scene["started"]) == (None, 2)


def test_the_end_of_an_older_runner_means_nothing_to_the_new_one(scenes: dict[str, Any]) -> None:
    scene = scenes["changes_threads"]
    assert scene["started"][-1] == ["--context", "4096", "--threads", "6"]
    assert scene["phase"] == "ready"


def shown(tmp_path: Path, settings: str, act: str) -> str:
    """The page as it stands after a few seconds in a browser, as text of its elements."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if not browser:
        pytest.skip("there is no Chromium: apt-get install chromium")
    fake = (HERE / "fake_bridge.js").read_text(encoding="utf-8")
    text = page().replace("<!-- bridge -->", f"<script>{fake}\nwindow.edgelm = new FakeBridge({settings});</script>")
    text = text.replace("</body>", f"<script>setTimeout(() => {{ {act} }}, 500)</script></body>")
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=8000", "--dump-dom", file.as_uri()]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def element(dom: str, name: str) -> str:
    found = re.search(rf'<(\w+)[^>]*\bid="{name}"[^>]*>(.*?)</\1>', dom, re.DOTALL)
    assert found, name
    return html.unescape(re.sub(r"<[^>]+>", "", found[2]))


def is_hidden(dom: str, name: str) -> bool:
    found = re.search(rf'<\w+[^>]*\bid="{name}"[^>]*>', dom)
    assert found, name
    return re.search(r"\shidden(=|>|\s)", found[0]) is not None


def test_the_screen_shows_an_answer_as_text(tmp_path: Path) -> None:
    dom = shown(tmp_path, "{words: ['<b>bold</b>', 'and', 'plain']}", """
        document.getElementById("prompt").value = "What?"; document.getElementById("go").click();""")  # fmt: skip
    assert element(dom, "status-text") == "Ready"
    assert element(dom, "question") == "What?"
    assert "&lt;b&gt;bold&lt;/b&gt; and plain" in dom
    assert "8.64" in element(dom, "peak")
    assert is_hidden(dom, "trouble")


def test_the_screen_measures(tmp_path: Path) -> None:
    dom = shown(tmp_path, "{phone: {thermal: 3, power_save: true}}", """
        document.querySelector("[data-view=measure]").click(); document.getElementById("run").click();""")  # fmt: skip
    assert float(element(dom, "throughput")) == pytest.approx(40.5, rel=0.02)
    assert element(dom, "pull") == "adb pull /sdcard/Android/data/app.edgelm/files/measure.json"
    assert "hot" in element(dom, "warnings")
    assert is_hidden(dom, "ask")
    assert not is_hidden(dom, "result")


def test_the_screen_says_the_exact_command_without_weights(tmp_path: Path) -> None:
    dom = shown(tmp_path, "{exists: false, size: 0, card: {package: 'org.example.island'}}", "")
    command = "adb push model.gguf /sdcard/Android/data/org.example.island/files/model.gguf"
    assert element(dom, "trouble-command") == command
    assert is_hidden(dom, "form")


def test_the_screen_says_why_the_runner_stopped(tmp_path: Path) -> None:
    dom = shown(tmp_path, "{}", "session.bridge.end(132, 'last <words>');")
    assert "Arm v8.2" in element(dom, "trouble-text")
    assert element(dom, "trouble-log") == "last <words>"
    assert element(dom, "status-text") == "Stopped"
