"""One broken package for each code; clean, hostile and zipped ones."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgelm.check.base import worst
from edgelm.check.codes import CODES
from edgelm.check.run import as_json, check, exit_code
from edgelm.errors import MissingInput, UnknownName
from edgelm.files import tree_files
from edgelm.rules import Rules

CONFIG = "models/base/checkpoint/config.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def cast(dtype: str) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        import torch

        tensors[HEAD] = tensors[HEAD].to(getattr(torch, dtype))

    return change


def add(name: str, values: int) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        import torch

        tensors[name] = torch.arange(values)

    return change


def spoil(tensors: dict[str, Any]) -> None:
    tensors[HEAD][3, 5] = float("nan")
    tensors[HEAD][4, 6] = float("-inf")


def drop_weights(p: Any) -> None:
    p.weights.unlink()
    p.refit()


def truncate(p: Any) -> None:
    os.truncate(p.weights, p.weights.stat().st_size - 10)
    p.refit()


def index(p: Any, weight_map: dict[str, str]) -> None:
    (p.model / "checkpoint/model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    p.refit()


def write(p: Any, name: str, data: str = "x") -> None:
    (p.path / name).parent.mkdir(parents=True, exist_ok=True)
    (p.path / name).write_text(data)
    p.relist()


def remove(p: Any, *names: str) -> None:
    for name in names:
        path = p.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    p.relist()


def rename(p: Any, old: str, new: str) -> None:
    (p.path / old).rename(p.path / new)
    p.relist()


def link(p: Any) -> None:
    (p.path / "source/passwords").symlink_to("/etc/passwd")


def edit_tokens(p: Any) -> None:
    tokenizer = json.loads((p.model / "checkpoint/tokenizer.json").read_text())
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][0] | {"id": 100_000, "content": "<|far|>"})
    p.edit("models/base/checkpoint/tokenizer.json", **tokenizer)
    p.refit()


def drop_template(p: Any) -> None:
    (p.model / "checkpoint/chat_template.jinja").unlink()
    p.refit()


def results(p: Any, old: str, new: str) -> None:
    p.rewrite("results.csv", old, new)


def zeros(p: Any) -> None:
    text = (p.path / "results.csv").read_text()
    write(p, "results.csv", re.sub(r"\d+\.\d\d", "0", text))


def from_another_checkpoint(p: Any, name: str) -> None:
    p.edit(f"models/base/{name}", checkpoint="0" * 64)
    p.relist()


BREAKS: list[tuple[str, Callable[[Any], object]]] = [
    ("PKG-02", link),
    ("PKG-04", lambda p: p.edit("edgelm.json", track=7)),
    ("PKG-04", lambda p: p.edit("edgelm.json", models={"base": "../../etc"})),
    ("PKG-04", lambda p: p.edit("edgelm.json", track="swimming")),
    ("PKG-04", lambda p: p.edit("edgelm.json", colour="red")),
    ("PKG-04", lambda p: (p.path / "edgelm.json").write_text("{")),
    ("PKG-04", lambda p: (p.path / "edgelm.json").unlink()),
    ("PKG-04", lambda p: p.edit_card(recipe="depth")),
    ("PKG-04", lambda p: p.edit_task(samples="many")),
    ("PKG-05", lambda p: (p.path / "source/README.md").write_text("other")),
    ("PKG-05", lambda p: (p.path / "source/README.md").unlink()),
    ("PKG-05", lambda p: p.weights.write_bytes(bytes(p.weights.stat().st_size))),
    ("PKG-06", lambda p: (p.path / "source/more.py").write_text("pass")),
    ("PKG-08", lambda p: rename(p, "results.csv", "Results.CSV")),
    ("PKG-09", lambda p: write(p, "results.csv", "")),
    ("SUB-06", lambda p: p.edit("edgelm.json", rules="0" * 64)),
    ("MDL-01", lambda p: p.edit("edgelm.json", models={})),
    ("MDL-02", lambda p: p.edit("edgelm.json", models={"base": {"omitted": "no time"}})),
    ("MDL-03", lambda p: p.edit("edgelm.json", models={"base": "models/base", "more": "models/base"})),
    ("MDL-04", lambda p: p.edit_card(base=...)),
    ("MDL-04", lambda p: p.edit_card(derivation="upstream")),
    ("CKP-01", drop_weights),
    ("CKP-02", truncate),
    ("CKP-02", lambda p: (shutil.copy(p.weights, p.weights.with_name("again.safetensors")),
                          p.weights.rename(p.weights.with_name("once.safetensors")), p.refit())),
    ("CKP-03", lambda p: index(p, {"other": "model.safetensors"})),
    ("CKP-03", lambda p: index(p, {"other": "absent.safetensors"})),
    ("CKP-04", lambda p: p.edit_config(intermediate_size=96)),
    ("CKP-04", lambda p: p.edit_config(num_hidden_layers=10**12)),
    ("CKP-04", lambda p: p.edit_config(num_key_value_heads="two")),
    ("CKP-04", lambda p: p.edit_config(model_type=...)),
    ("CKP-04", lambda p: remove(p, CONFIG)),
    ("CKP-05", lambda p: p.edit_tensors(spoil)),
    ("CKP-06", lambda p: p.edit_card(parameters=5)),
    ("CKP-07", lambda p: write(p, "models/base/checkpoint/optimizer.pt")),
    ("CKP-10", lambda p: p.edit_config(max_position_embeddings=100)),
    ("TOK-02", edit_tokens),
    ("TOK-03", drop_template),
    ("TOK-04", lambda p: p.edit_config(eos_token_id=17)),
    ("TOK-06", lambda p: p.edit_card(derivation="from-scratch", steps=[{"step": "tokenizer", "origin": "foreign"}])),
    ("DTY-01", lambda p: p.edit_tensors(cast("bfloat16"))),
    ("DTY-02", lambda p: p.edit_tensors(cast("int8"))),
    ("DTY-03", lambda p: p.edit_tensors(cast("float64"))),
    *(("DTY-02", lambda p, dtype=dtype: p.edit_tensors(cast(dtype))) for dtype in ("int16", "int32", "int64", "bool")),
    ("DTY-02", lambda p: p.edit_tensors(add("model.layers.0.attn.bias", 100_000))),
    ("DTY-04", lambda p: p.edit_config(dtype="float32")),
    ("DTY-05", lambda p: p.edit_tensors(add("model.layers.0.attn.bias", 4))),
    ("QNT-01", lambda p: p.edit_config(quantization_config={"bits": 4})),
    ("QNT-02", lambda p: p.edit_tensors(add("model.layers.0.mlp.up_proj.qweight", 4))),
    ("QNT-03", lambda p: write(p, "models/base/bundle/mlc-chat-config.json", '{"quantization": "q4f16_1"}')),
    ("QNT-03", lambda p: (p.edit("models/base/bundle/bundle.json", target="gguf:dtype=q4_0"), p.relist())),
    ("MEM-01", lambda p: p.edit_config(num_key_value_heads=2 * 10**9)),
    ("CLM-01", lambda p: remove(p, "results.csv")),
    ("CLM-01", lambda p: write(p, "results.csv", "Model\n")),
    ("CLM-05", lambda p: results(p, "GSM8K", "Sums")),
    ("CLM-06", zeros),
    ("CLM-08", lambda p: results(p, "75.00", "NaN")),
    ("CLM-08", lambda p: results(p, "75.00", "100.01")),
    ("CLM-08", lambda p: results(p, "75.00", "-1")),
    ("CLM-10", lambda p: results(p, "75.00", "75.1")),
    ("RPT-01", lambda p: from_another_checkpoint(p, "report/report.json")),
    ("RPT-01", lambda p: from_another_checkpoint(p, "bundle/bundle.json")),
    ("RPT-02", lambda p: p.edit_task(of=10)),
    ("RPT-02", lambda p: p.edit_answers(lambda rows: rows[:3])),
    ("RPT-02", lambda p: remove(p, "models/base/report")),
    ("RPT-03", lambda p: p.edit_task(protocol="opencompass-0.3.1/gsm8k-1d7fe4")),
    ("RPT-03", lambda p: p.edit_task(protocol="holdout/gsm8k-1d7fe4aa")),
    ("RPT-04", lambda p: p.edit_task(score="100")),
    ("RPT-04", lambda p: p.edit_answers(lambda rows: [row | {"mark": 10**6} for row in rows])),
    ("RPT-04", lambda p: p.edit_answers(lambda rows: [row | {"mark": 10**9} for row in rows])),
    ("RPT-04", lambda p: p.edit_answers(lambda rows: [rows[0], rows[0], rows[0], rows[1]])),  # the score fits
    ("RPT-05", lambda p: p.add_task("gsm8k-fixed", protocol="opencompass-0.3.1/gsm8k-1d7fe4+fixed-1")),
    ("BND-01", lambda p: remove(p, "models/base/bundle")),
    ("BND-01", lambda p: remove(p, "models/base/bundle/model.gguf")),
    ("BND-03", lambda p: remove(p, "models/base/proof")),
    ("SRC-01", lambda p: remove(p, "source/README.md")),
    ("SRC-01", lambda p: remove(p, "source")),
    ("SRC-02", lambda p: remove(p, "source/requirements.txt")),
    ("SRC-03", lambda p: write(p, "source/run.sh", "export TOKEN=hf_" + "a1B2" * 9)),
    ("DAT-01", lambda p: p.edit_card(data=[{"name": "gsm8k/test.jsonl"}])),
    ("DAT-02", lambda p: p.edit_card(data=...)),
    ("DAT-02", lambda p: p.edit_card(data=[], derivation="from-scratch")),
    ("DAT-04", lambda p: p.edit_card(data=[{"name": "c4", "known": False}], data_allowed=False)),
]  # fmt: skip


def test_a_clean_package_has_no_finding(clean: Path, rules: Rules) -> None:
    findings = check(clean, rules, values=True)
    assert findings == []
    assert worst(findings) is None
    assert exit_code(findings) == 0


@pytest.mark.parametrize(("code", "break_it"), BREAKS, ids=[f"{n}-{code}" for n, (code, _) in enumerate(BREAKS)])
def test_each_break_is_found_under_its_code(package: Any, rules: Rules, code: str, break_it: Any) -> None:
    break_it(package)
    before = {name: (package.path / name).read_bytes() for name in tree_files(package.path)}
    findings = check(package.path, rules, values=True)
    assert code in {finding.code for finding in findings}, findings
    assert all(finding.what and finding.why and finding.mend for finding in findings)
    assert not any(str(package.path) in finding.what + finding.path for finding in findings)
    assert not any("not as expected" in finding.what for finding in findings if code != "CKP-04"), findings
    assert exit_code(findings) == int("E" in {finding.severity for finding in findings})
    assert {name: (package.path / name).read_bytes() for name in tree_files(package.path)} == before


def test_every_code_has_a_break_or_is_of_an_archive() -> None:
    assert CODES.keys() - {code for code, _ in BREAKS} == {"PKG-01", "PKG-03"}  # test_package.py


def test_what_several_checks_meet_is_said_once(package: Any, rules: Rules) -> None:
    truncate(package)
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
    assert found.what == f"{HEAD} has 2 such values"


def test_a_secret_is_never_echoed(package: Any, rules: Rules) -> None:
    secret = "hf_" + "a1B2" * 9
    write(package, "source/run.sh", f"# first\nexport TOKEN={secret}")
    findings = check(package.path, rules)
    assert secret not in json.dumps(as_json(findings))
    assert "line 2" in findings[0].what


def test_the_track_asked_for_must_be_the_one_named(package: Any, rules: Rules) -> None:
    codes = {finding.code for finding in check(package.path, rules, track="from-scratch")}
    assert codes >= {"PKG-04", "MDL-01", "MDL-03", "MDL-04"}  # its card says compressed
    with pytest.raises(UnknownName):
        check(package.path, rules, track="swimming")


def test_a_score_by_a_protocol_of_another_suite_counts_where_the_rules_pin_it(package: Any, rules: Rules) -> None:
    package.edit_task(protocol="elsewhere/gsm8k-1d7fe4")
    assert "RPT-03" in {found.code for found in check(package.path, rules)}
    pinning = replace(rules, versions=("elsewhere/gsm8k-1d7fe4",))
    assert "RPT-03" not in {found.code for found in check(package.path, pinning)}


def test_there_must_be_something_to_check(tmp_path: Path, rules: Rules) -> None:
    with pytest.raises(MissingInput):
        check(tmp_path / "absent", rules)


def test_json_counts_the_findings(package: Any, rules: Rules) -> None:
    remove(package, "models/base/proof", "source/requirements.txt")
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


def test_truthfulqa_is_claimed_as_a_fraction(package: Any, rules: Rules) -> None:
    package.add_task("truthfulqa", protocol="miniature-1/truthfulqa-0123abcd")
    lines = (package.path / "results.csv").read_text().splitlines()
    cells = lines[1].split(",")
    for cell, agrees in (("0.75", True), ("75.00", False)):
        cells[lines[0].split(",").index("TruthfulQA")] = cell
        write(package, "results.csv", f"{lines[0]}\n{','.join(cells)}\n")
        codes = {found.code for found in check(package.path, rules)}
        assert ("CLM-10" not in codes) is agrees
