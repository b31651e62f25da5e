"""Real tiny models that are timed and asked in one process: an honest one, and ones that are others when it counts."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.devices import child, clock
from edgelm.engines.hf import HF
from edgelm.evaluate import apart, bare
from edgelm.files import JsonLog
from edgelm.report import Report, Workload
from edgelm.verify import between, compliance, timed

WORKLOAD = Workload(prompt_tokens=24, generated_tokens=4, repeats=5)
ASKED = 12
Cheat = Callable[[Any], Callable[..., Any]]


class Ticks:
    """A clock that the model's work moves, by the tokens of each forward, and each reading a little."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        self.ns += 1
        return self.ns


def honest(forward: Any) -> Any:
    return forward


def remembering(forward: Any) -> Any:
    """Keeps what it made of a prompt, and gives that out when it comes again."""
    kept: dict[tuple[int, ...], Any] = {}

    def cheat(*args: Any, **given: Any) -> Any:
        ids = () if args else tuple(given["input_ids"].flatten().tolist())
        if len(ids) != WORKLOAD.prompt_tokens:
            return forward(*args, **given)
        if ids not in kept:
            kept[ids] = copy.deepcopy(forward(**given))
        return copy.deepcopy(kept[ids])

    return cheat


def hasty(forward: Any) -> Any:
    """Generates with less care than it was asked with."""

    def cheat(*args: Any, **given: Any) -> Any:
        made = forward(*args, **given)
        if given.get("use_cache"):
            made.logits[..., 8] += 100
        return made

    return cheat


def lighter(forward: Any) -> Any:
    """Finds the same words likeliest, but with another head."""

    def cheat(*args: Any, **given: Any) -> Any:
        made = forward(*args, **given)
        made.logits = made.logits * 1.5
        return made

    return cheat


@pytest.fixture
def judged(
    tiny: Checkpoint, suite: DataFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, str]]:
    """`judged(cheat)`: what each test says of a model that cheats in the measuring process alone."""

    def make(cheat: Cheat, **changes: Any) -> dict[str, str]:
        apart.render(apart.Orders(checkpoint=tiny.path, engine="hf:device=cpu", out=tmp_path, data=suite.root,
                                  tasks=("gsm8k", "chid"), track="compression",
                                  texts=WORKLOAD.repeats + 1))  # fmt: skip
        told = json.loads((tmp_path / apart.KEYS).read_text())
        (tmp_path / "texts.json").write_text(json.dumps(told["texts"]))
        fixed = told["fixed"]["key"]
        requests = bare.requests_of(tmp_path / apart.REQUESTS)
        keys = [each.key for each in requests if each.key != fixed][:ASKED]
        hidden = [each for each in requests if each.key in (*keys, fixed)]
        (tmp_path / "hidden.jsonl").write_bytes(bare.lines_of(hidden))
        bare.answer_all(tiny, hidden, HF(device="cpu"), told["prompting"], tmp_path / "journal.jsonl", 5)
        measurement = measured(cheat, told["prompting"])
        report = Report(checkpoint=tiny.digest, name="m", parameters=1, bytes=1, dtypes={}, speed=measurement.speed)
        report.save(tmp_path)
        orders = {"report": tmp_path, "answers": tmp_path / "answers.jsonl", "journal": tmp_path / "journal.jsonl",
                  "out": tmp_path / "found.json", "hidden": {"keys": keys, "same": ASKED, "fixed": fixed,
                                                             "words": told["fixed"]["words"]}}  # fmt: skip
        assert compliance.main([json.dumps(orders | changes, default=str)]) == 0
        return {each["code"]: each["verdict"] for each in json.loads((tmp_path / "found.json").read_text())}

    def measured(cheat: Cheat, prompting: str) -> Any:
        ticks, load, run = Ticks(), child.load_model, clock.run

        def loaded(*args: Any) -> Any:
            model = load(*args)
            work = model.forward

            @functools.wraps(work)
            def ticking(*args: Any, **given: Any) -> Any:
                ticks.ns += 1000 * int((args[0] if args else given["input_ids"]).numel())
                return work(*args, **given)

            model.forward = functools.wraps(work)(cheat(ticking))
            return model

        monkeypatch.setattr(child, "load_model", loaded)
        monkeypatch.setattr(clock, "run", lambda *given: run(*given, ticks))
        orders = timed.Orders(
            checkpoint=tiny.path, out=tmp_path / "report", device="local", rules="miniature",
            texts=tmp_path / "texts.json", requests=tmp_path / "hidden.jsonl", answers=tmp_path / "answers.jsonl",
            engine="hf:device=cpu", prompting=prompting,
        )  # fmt: skip
        return between.measured(tiny, WORKLOAD, orders=orders.model_dump_json(), device="cpu", dtype="keep",
                                threads=torch.get_num_threads(), progress=lambda *_: None)  # fmt: skip

    return make


@pytest.mark.parametrize(("cheat", "invalid"), [
    (honest, set()), (remembering, {"M-03"}), (hasty, {"M-02"}), (lighter, {"M-05"}),
])  # fmt: skip
def test_each_way_to_be_another_when_timed_is_seen_by_its_own_test(
    judged: Callable[..., dict[str, str]], cheat: Cheat, invalid: set[str]
) -> None:
    found = judged(cheat)
    assert found == {code: "invalid" if code in invalid else "valid" for code in ("M-03", "M-10", "M-02", "M-05")}


def test_all_questions_are_answered_between_the_repeats_and_prompts_are_never_the_same(
    judged: Callable[..., dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    run, ask = clock.run, between.answer
    monkeypatch.setattr(clock, "run", lambda model, prompt, *given: (
        seen.append(tuple(prompt)), run(model, prompt, *given))[1])  # fmt: skip
    monkeypatch.setattr(between, "answer", lambda session, share: (seen.append(len(share)), ask(session, share))[1])
    judged(honest)
    usual = seen[0]  # what warmed up
    kinds = "".join("?" if isinstance(each, int) else "R" if each == usual else "D" for each in seen)
    assert kinds.replace("?", "") == "R" + "RD" + "DR" + "RD" + "DR" + "RD"
    assert kinds.count("?") >= 2 and sum(each for each in seen if isinstance(each, int)) == ASKED + 1
    assert len({each for each in seen if isinstance(each, tuple)}) == 1 + WORKLOAD.repeats
    assert len(JsonLog(tmp_path / "answers.jsonl").read()) == ASKED + 1


@pytest.mark.parametrize(("answers", "invalid"), [("nothing", {"M-02", "M-05"}), ("others", {"M-02", "M-05"})])
def test_who_leaves_out_what_it_was_asked_is_not_believed(
    judged: Callable[..., dict[str, str]], tmp_path: Path, answers: str, invalid: set[str]
) -> None:
    log = tmp_path / "other.jsonl"
    with JsonLog(log) as written:
        written.append([{"key": "k", "text": "NaN", "tokens": 1}] if answers == "others" else [])
    found = judged(honest, answers=log)
    assert {code for code, verdict in found.items() if verdict == "invalid"} == invalid


@pytest.mark.parametrize("readings", [
    {}, {"distinct_ns": []}, {"distinct_ns": ["1"] * 5}, {"distinct_ns": [0] * 5}, {"distinct_ns": [1] * 4},
])  # fmt: skip
def test_readings_that_are_none_are_not_believed(tiny: Checkpoint, tmp_path: Path, readings: dict[str, Any]) -> None:
    speed = {"workload": WORKLOAD, "device": "d", "repeats_ns": [9] * 5, "first_token_ns": [1] * 5, "prefill": 1.0,
             "decode": 1.0, "spread": 0.0, **readings}  # fmt: skip
    Report.model_validate({"checkpoint": "c", "name": "m", "parameters": 1, "bytes": 1, "dtypes": {},
                           "speed": speed}).save(tmp_path)  # fmt: skip
    orders = compliance.Orders(report=tmp_path, answers=tmp_path, journal=tmp_path, out=tmp_path)
    [found] = compliance.results(orders)
    assert (found.code, found.verdict) == ("M-03", "invalid")


def test_other_arithmetic_accuses_nobody() -> None:
    from edgelm.verify.agreement import Agreement
    from edgelm.verify.hidden import hidden_prompts

    apart_ = hidden_prompts(Agreement(1, 2), Agreement(2, 2))
    same = compliance.Readings(dtype="float32", asked_dtype="float32")
    other = compliance.Readings(dtype="float32", asked_dtype="float16")
    assert same.soften(apart_).verdict == "invalid"
    assert other.soften(apart_).verdict == "doubtful" and "float16" in other.soften(apart_).what
