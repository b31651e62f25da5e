from __future__ import annotations

import builtins
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Card, Checkpoint, Source
from edgelm.compress.depth import Depth
from edgelm.compress.page.page import REPORT, page, write
from edgelm.compress.run import compress
from edgelm.compress.width import Width
from edgelm.data.texts import TextSource
from edgelm.errors import BadFile, MissingInput, MissingPackage

HOSTILE = "</style><script>alert('x')</script><img src=x onerror=\"y\">{{ 7*7 }}"
BEFORE = {"layers": 32, "width": 4096, "ffn": 14336, "heads": 32, "kv_heads": 8, "vocab": 128_256,
          "parameters": 8_030_261_248}  # fmt: skip
AFTER = BEFORE | {"layers": 28, "ffn": 9216, "parameters": 5_396_299_776}
CARD: dict[str, Any] = {
    "base": "Llama-3.1-8B", "derivation": "compressed", "recipe": ["vocab:keep=0.9", "depth:drop=4", "width:ffn=9216"],
    "steps": [
        {"step": "vocab:keep=0.9", "seconds": 1.0, "warnings": []},
        {"step": "depth:drop=4", "dropped": [5, 6, 8, 9], "scores": [0.01 * (n + 1) for n in range(32)],
         "seconds": 61.0, "parameters": 7_157_813_248, "bytes": 14_315_626_496,
         "quality": {"perplexity": 7.75, "kl": 0.21}},
        {"step": "width:ffn=9216", "ffn": {"error": [0.05] * 27 + [0.25], "penalty": [0.1] * 28, "kept_sha256": "ab"}},
    ],
    "options": [{"steps": ["vocab:keep=0.9"]}, {"steps": ["depth:drop=4", "width:ffn=9216"]}],
    "data": [Source(name="c4", licence="ODC-BY-1.0", tokens=16_000, sha256="c4" * 32), Source(name="own.txt")],
    "parents": ["d1" * 32, "d2" * 32], "made_by": "edgelm 0.1.0", "licence": "llama3.1",
    "shape": {"before": BEFORE, "after": AFTER}, "tensor_bytes": 10_792_599_552,
    "quality": {"perplexity_base": 6.125, "perplexity": 9.5, "kl": 0.4375, "tokens": 2048},
    "calibration": {"tokens": 16_384, "sequences": 20, "held_out_tokens": 2056, "ids_sha256": "ef" * 32, "seed": 3},
    "cast": {"dtype": "float16", "largest": 12.5, "flushed": 0.00025, "warnings": []},
    "warnings": ["perplexity rose", "no Chinese text"], "versions": {"torch": "2.9"}, "threads": 2,
    "forecast": {"memory": 1, "disk": 1, "phone": 11 * 2**30, "phone_base": 17 * 2**30, "read": 9 * 2**30,
                 "read_base": 18 * 2**30, "exports": {"script": "it knows another", "runtime": "", "mlc": ""}},
}  # fmt: skip


class Whole(HTMLParser):
    """Fails on an element that is closed out of turn; keeps the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def shown(**changes: Any) -> str:
    return page(Card.model_validate(CARD | changes))


def test_it_shows_all_that_the_card_knows() -> None:
    seen = re.sub(r"[ \n]+", " ", Whole(shown()).text)
    for words in (
        "Llama-3.1-8B, compressed", "5.4B of 8.03B", "67.2 %", "10.1 GiB, float16", "6.125 → 9.5", "0.4375 nats",
        "5\u202f396\u202f299\u202f776", "7\u202f157\u202f813\u202f248", "7.75", "13.3 GiB", "61 s", "14\u202f336",
        "Memory with 2\u202f048 tokens", "2.00 times as fast", "11 GiB", "no: it knows another",
        "16\u202f384", "ODC-BY-1.0", "own.txt", "d1" * 32, "which was made from", "ef" * 32, "llama3.1", "0.025 %",
        "torch 2.9", "Made by edgelm 0.1.0", "Before this run: vocab:keep=0.9.", "depth:drop=4 width:ffn=9216",
    ):  # fmt: skip
        assert words in seen, words
    assert shown() == shown()


def charts_of(text: str) -> list[str]:
    """What each chart says to those who do not see it."""
    return [attributes["aria-label"] or "" for tag, attributes in Whole(text).tags
            if tag == "svg" and "aria-label" in attributes]  # fmt: skip


PACE = {"ms_base": 400.0, "ms": 200.0, "tokens_per_second_base": 2.5, "tokens_per_second": 5.0, "faster": 2.0}
SPEED = {"decode": PACE, "prefill": PACE | {"ms": 160.0, "faster": 2.5}, "context": 256, "dtype": "float32",
         "device": "cpu", "threads": 2}  # fmt: skip


def test_a_point_for_the_base_and_for_each_step() -> None:
    perplexity, kl, *_ = charts_of(shown())
    assert perplexity == (
        "Perplexity against parameters. base: 8.03B parameters, perplexity 6.12; "
        "1 depth:drop=4: 7.16B parameters, perplexity 7.75; 2 width:ffn=9216: 5.4B parameters, perplexity 9.5."
    )
    assert "2 width:ffn=9216: 5.4B parameters, KL 0.438" in kl
    seen = re.sub(r"[ \n]+", " ", Whole(shown()).text)
    for words in ("−10.9 %", "× 1.265", "+0.21", "−24.6 %", "× 1.226", "+0.23"):  # what each step changed
        assert words in seen, words


def test_a_lost_model_leaves_the_others_their_room() -> None:
    lost = {**CARD["steps"][1], "quality": {"perplexity": 1e300, "kl": 90.0}}
    text = shown(steps=[lost, CARD["steps"][2]], options=[CARD["options"][1]])
    assert charts_of(text)[0].count("perplexity ") == 2  # base and last
    assert "without what is above 1M" in text
    assert "1e+300" in text


def test_steps_of_earlier_runs_are_shown_too() -> None:
    """All but the last: what that left is this run's base."""
    known = {"parameters": 9 * 10**9, "quality": {"perplexity": 5.5, "kl": 0.1}}
    early = [{"step": "kv:heads=4", **known}, {"step": "vocab:keep=0.9", **known}]
    options = [{"steps": [step["step"] for step in early]}, CARD["options"][1]]
    text = shown(steps=[*early, *CARD["steps"][1:]], options=options)
    perplexity, kl, *_ = charts_of(text)
    assert "a kv:heads=4, before this run: 9B parameters, perplexity 5.5; base" in perplexity
    assert "vocab" not in perplexity
    assert "kv" not in kl  # it was from another base
    assert "Letters are steps of runs before" in text


def test_what_a_search_built_is_shown() -> None:
    each = {"recipe": "depth:drop=9", "parameters": 6 * 10**9, "memory": 2**33, "read": 2**32, "error": 0.125}
    measured = {"recipe": "depth:drop=9", "alternatives": [each | {"kl": 0.75}]}
    text = shown(search=measured)
    assert "<title>depth:drop=9, untrained: 6B parameters, KL 0.75</title>" in text
    assert "Circles without a mark" in text
    assert "0.125" in Whole(text).text
    expected = shown(search=measured | {"alternatives": [each]})
    assert "What the search found" in expected
    assert "Circles without a mark" not in expected


def test_speed_is_shown_as_expected_and_as_measured() -> None:
    first, last = CARD["steps"][1], CARD["steps"][2]
    steps = [first | {"read": 12 * 2**30, "speed": SPEED}, last | {"read": 9 * 2**30, "speed": SPEED}]
    text = shown(steps=steps, options=[CARD["options"][1]])
    seen = re.sub(r"[ \n]+", " ", Whole(text).text)
    for words in ("1.50×", "2.00×", "400 ms", "200 ms", "160 ms", "2.50×", "On cpu in float32 with 2 threads", "256"):
        assert words in seen, words
    assert "Measured" not in Whole(shown()).text.replace("Measured speed", "")


def test_training_is_shown() -> None:
    healed = {"step": "heal:tokens=1M", "method": "lora", "lr": 2e-4, "text": {"sequences": 9, "tokens": 900_000},
              "updates": [64], "loss_first": [3.25], "loss_last": [0.625]}  # fmt: skip
    seen = re.sub(r"[ \n]+", " ", Whole(shown(steps=[healed], options=[{"steps": ["heal:tokens=1M"]}])).text)
    for words in ("heal:tokens=1M lora 900K 64 0.0002 3.25 0.625",):
        assert words in seen, seen
    assert "Training" not in Whole(shown()).text


def test_another_vocabulary_gives_the_base_another_perplexity() -> None:
    first, last = ({**step, "quality": {"perplexity": 9, "kl": 0.1, "perplexity_base": base}}
                   for step, base in zip(CARD["steps"][1:], (6.5, 7.0), strict=True))  # fmt: skip
    shape = {"before": BEFORE, "after": AFTER | {"vocab": 64_000}}
    seen = Whole(shown(steps=[first, last], options=[CARD["options"][1]], shape=shape)).text
    assert "the base predicts over those that stay. Behind width:ffn=9216 its perplexity is 6.125." in seen
    assert "predicts over" not in Whole(shown()).text


def test_warnings_come_first() -> None:
    text = Whole(shown()).text
    assert text.index("compressed") < text.index("no Chinese text") < text.index("Parameters")
    assert 'role="note"' not in shown(warnings=[])


def test_each_step_of_this_run_has_its_charts() -> None:
    text = shown()
    labels = charts_of(text)
    assert [label.partition(",")[0] for label in labels[2:]] == [
        "How far each layer turns the stream", "Error of what each feed-forward writes"]  # fmt: skip
    assert "at most 0.32 (31)" in labels[2]
    assert text.count('<g class="marked">') == 4
    assert "<title>layer 27: 0.25</title>" in text
    assert "■ dropped" in text


def test_it_needs_nothing_from_elsewhere() -> None:
    text = shown()
    assert not re.search(r"https?:|src=|@import|url\(|<script|<link", text)
    assert "prefers-color-scheme: dark" in text
    assert 'content="width=device-width' in text


def test_names_are_text() -> None:
    steps = [{**CARD["steps"][1], "step": HOSTILE, "loss_error": [1.0, 2.0], HOSTILE + "error": [1.0, 2.0]}]
    text = shown(
        base=HOSTILE, steps=steps, recipe=[HOSTILE], options=[{"steps": [HOSTILE]}], warnings=[HOSTILE],
        data=[Source(name=HOSTILE, licence=HOSTILE, sha256=HOSTILE)], parents=[HOSTILE], made_by=HOSTILE,
        licence=HOSTILE, cast=CARD["cast"] | {"dtype": HOSTILE}, versions={HOSTILE: HOSTILE},
        calibration=CARD["calibration"] | {"ids_sha256": HOSTILE},
        forecast=CARD["forecast"] | {"exports": {"script": HOSTILE}},
    )  # fmt: skip
    seen = Whole(text)
    assert {"script", "img"}.isdisjoint(tag for tag, _ in seen.tags)
    assert not any(name.startswith("on") for _, attributes in seen.tags for name in attributes)
    assert text.count("<style>") == text.count("</style>") == 1
    assert "{{ 7*7 }}" in seen.text
    assert "49" not in seen.text


def test_what_the_card_does_not_say_is_left_out() -> None:
    text = shown(forecast=None, cast=None, versions={}, data=[], parents=[], options=[], licence="", threads=None)
    seen = Whole(text).text
    for words in ("On a phone", "Programs", "Licence", "Stored as", "Made from", "Threads"):
        assert words not in seen
    assert "vocab:keep=0.9 depth:drop=4" in seen  # without options all steps are this run's


def test_a_run_that_changed_nothing() -> None:
    seen = Whole(shown(steps=[], recipe=[], options=[{"steps": []}], shape={"before": BEFORE, "after": BEFORE})).text
    assert "Layer by layer" not in seen
    assert "100.0 %" in seen


def test_other_cards_are_refused() -> None:
    with pytest.raises(MissingInput, match="no compression"):
        page(Card(base="Llama-3.1-8B"))
    with pytest.raises(BadFile, match=r"field shape\.after\.layers"):
        shown(shape={"before": BEFORE, "after": AFTER | {"layers": 0}})


def test_without_jinja(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def refuse(name: str, *args: Any) -> Any:
        if name == "jinja2":
            raise ImportError(name)
        return load(name, *args)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingPackage, match="jinja2"):
        shown()


@pytest.mark.parametrize("family", ["llama", "phi"])
def test_the_page_of_a_real_compression(
    make_checkpoint: Callable[..., Path], texts: list[TextSource], tmp_path: Path, family: str
) -> None:
    base = Checkpoint(make_checkpoint(family, num_hidden_layers=6))
    made = compress(base, [Depth(1, score="angle"), Width(96)], tmp_path / "out", texts=texts, tokens=600, sequence=48)
    digest = made.digest
    path = write(made)
    assert path == made.path / REPORT
    assert Checkpoint(made.path).compute_digest() == digest
    text = path.read_text()
    seen = Whole(text).text
    assert "depth:drop=1,score=angle width:ffn=96" in seen
    assert text.count('<g class="marked">') == 1
    assert len(re.findall(r"<svg role", text)) == 4
    assert "2 width:ffn=96: " in charts_of(text)[0]
