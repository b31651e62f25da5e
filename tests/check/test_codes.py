"""One broken package for each code, clean ones for each track, pairs of breaks, and the whole output."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgelm.check.base import worst
from edgelm.check.codes import CODES
from edgelm.check.fetch import Fetched, Refused, Unreachable
from edgelm.check.run import as_json, check, exit_code
from edgelm.files import tree_files
from edgelm.rules import Rules

CONFIG = "models/base/checkpoint/config.json"
ANSWERS = "models/base/report/answers/gsm8k.jsonl"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
SNAPSHOT = Path(__file__).with_name("snapshot.json")


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


def index(p: Any, weight_map: dict[str, str]) -> None:
    (p.model / "checkpoint/model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    p.refit()


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
    p.write("results.csv", re.sub(r"\d+\.\d\d", "0", text))


def from_another_checkpoint(p: Any, name: str) -> None:
    p.edit(f"models/base/{name}", checkpoint="0" * 64)
    p.relist()


def quantise(steps: float) -> Callable[[dict[str, Any]], None]:
    """Round every matrix to so many steps between zero and its largest value."""

    def change(tensors: dict[str, Any]) -> None:
        for name, tensor in tensors.items():
            if tensor.ndim == 2:
                scale = tensor.float().abs().max() / steps
                tensors[name] = ((tensor.float() / scale).round() * scale).to(tensor.dtype)

    return change


def stranger(p: Any) -> Path:
    """A checkpoint of the same shape that is not related, with a smaller vocabulary."""
    from safetensors.torch import load_file, save_file

    other = p.twin("stranger") / "models/base/checkpoint"
    tensors = load_file(other / "model.safetensors")
    import torch

    generator = torch.Generator().manual_seed(1)
    fresh = {name: torch.randn(tensor.shape, generator=generator).to(tensor.dtype) for name, tensor in tensors.items()}
    save_file(fresh, other / "model.safetensors")
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["another"] = len(tokenizer["model"]["vocab"])
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    return Path(other)


def own_code(p: Any) -> None:
    p.write("models/base/checkpoint/modeling_own.py", "class Own: ...\n")
    p.edit_config(auto_map={"AutoModelForCausalLM": "modeling_own.Own"})


def tokenizer(p: Any, change: Callable[[dict[str, Any]], object]) -> None:
    path = p.model / "checkpoint/tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    p.refit()


def app(p: Any, machine: int = 183, library: str = "lib/arm64-v8a/libapp.so") -> None:
    """A bundle's app package with one library for a machine."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("AndroidManifest.xml", "x")
        archive.writestr(library, b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HH", 3, machine) + bytes(44))
    p.write("models/base/bundle/app.apk", data.getvalue())


def safetensors(dtype: str) -> bytes:
    """A file of one value."""
    header = json.dumps({"a": {"dtype": dtype, "shape": [1], "data_offsets": [0, 1]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"x"


def mlc(*dtypes: str) -> str:
    """MLC's list of tensors, one of each dtype."""
    return json.dumps({"records": [{"records": [{"name": "a", "dtype": dtype}]} for dtype in dtypes]})


class Gives:
    """What a link gives, without a network."""

    def __init__(self, answer: Fetched | Refused) -> None:
        self.answer = answer

    def __call__(self, url: str, size: int) -> Fetched:
        if isinstance(self.answer, Refused):
            raise self.answer
        return self.answer


def linked(p: Any, fetch: Gives | None = None, **changes: object) -> dict[str, object]:
    """A link to a file that lies elsewhere; the value `...` removes its key."""
    link = {"path": "models/base/extra.safetensors", "url": "https://huggingface.co/a/b/resolve/main/c", "size": 3,
            "sha256": "a" * 64} | changes  # fmt: skip
    p.write("links.json", json.dumps([{key: value for key, value in link.items() if value is not ...}]))
    return {"fetch": fetch}


class _Runs:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def claimed(p: Any, **cells: str) -> None:
    """Write cells of the results file by column."""
    header, row = (line.split(",") for line in (p.path / "results.csv").read_text().splitlines())
    row = [cells.get(column, cell) for column, cell in zip(header, row, strict=True)]
    p.write("results.csv", f"{','.join(header)}\n{','.join(row)}\n")


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
    ("PKG-04", lambda p: p.edit_task(samples="4")),
    ("PKG-04", lambda p: p.edit_card(data=[{"name": "c4", "tokens": "1000"}])),
    ("PKG-04", lambda p: p.edit_card(colour="red")),
    ("PKG-04", lambda p: linked(p, colour="red")),
    ("PKG-05", lambda p: (p.path / "source/README.md").write_text("other")),
    ("PKG-05", lambda p: (p.path / "source/README.md").unlink()),
    ("PKG-05", lambda p: p.weights.write_bytes(bytes(p.weights.stat().st_size))),
    ("PKG-06", lambda p: (p.path / "source/more.py").write_text("pass")),
    ("PKG-08", lambda p: p.rename("results.csv", "Results.CSV")),
    ("PKG-09", lambda p: p.write("results.csv", "")),
    ("PKG-09", lambda p: p.write("models/base/proof/error.txt", "")),
    ("SUB-06", lambda p: p.edit("edgelm.json", rules="0" * 64)),
    ("MDL-01", lambda p: p.edit("edgelm.json", models={})),
    ("MDL-02", lambda p: p.edit("edgelm.json", models={"base": {"omitted": "no time"}})),
    ("MDL-03", lambda p: p.edit("edgelm.json", models={"base": "models/base", "more": "models/more"})),
    ("PKG-04", lambda p: p.edit("edgelm.json", models={"base": "models/base", "more": "models/base"})),
    ("MDL-04", lambda p: p.edit_card(base=...)),
    ("MDL-04", lambda p: p.edit_card(derivation="upstream")),
    ("CKP-01", drop_weights),
    ("CKP-02", lambda p: p.truncate()),
    ("CKP-02", lambda p: (shutil.copy(p.weights, p.weights.with_name("again.safetensors")),
                          p.weights.rename(p.weights.with_name("once.safetensors")), p.refit())),
    ("CKP-03", lambda p: index(p, {"other": "model.safetensors"})),
    ("CKP-03", lambda p: index(p, {"other": "absent.safetensors"})),
    *(("CKP-03", lambda p, name=name: p.write(name, safetensors("I8"))) for name in (
        "models/base/checkpoint/extra.safetensors", "models/base/code/extra.SafeTensors", "extra.safetensors")),
    ("CKP-04", lambda p: p.edit_config(intermediate_size=96)),
    ("CKP-04", lambda p: p.edit_config(num_hidden_layers=10**12)),
    ("CKP-04", lambda p: p.edit_config(num_key_value_heads="two")),
    ("CKP-04", lambda p: p.edit_config(model_type=...)),
    ("CKP-04", lambda p: p.remove(CONFIG)),
    ("CKP-05", lambda p: p.edit_tensors(spoil)),
    ("CKP-06", lambda p: p.edit_card(parameters=5)),
    ("CKP-07", lambda p: p.write("models/base/checkpoint/optimizer.pt")),
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
    ("QNT-03", lambda p: p.write("models/base/bundle/mlc-chat-config.json", '{"quantization": "q4f16_1"}')),
    ("QNT-03", lambda p: p.write("models/base/bundle/weights/mlc-chat-config.json", '{"quantization": "q4f16_1"}')),
    ("QNT-03", lambda p: (p.edit("models/base/bundle/bundle.json", target="gguf:dtype=q4_0"), p.relist())),
    ("QNT-03", lambda p: p.write("models/base/bundle/model.gguf", p.gguf(8))),
    ("QNT-03", lambda p: p.write("models/base/bundle/model.bin", p.gguf(99))),
    ("QNT-03", lambda p: p.write("models/base/bundle/model.gguf", p.gguf()[:40])),
    *(("QNT-03", lambda p, name=name, said=said: p.write(f"models/base/bundle/{name}", said)) for name, said in (
        ("ndarray-cache.json", mlc("float16", "uint32")), ("w/tensor-cache.json", mlc("int8")),
        ("ndarray-cache.json", '{"records": [1]}'))),
    ("MEM-01", lambda p: p.edit_config(num_key_value_heads=2 * 10**9)),
    ("CLM-01", lambda p: p.remove("results.csv")),
    ("CLM-01", lambda p: p.write("results.csv", "Model\n")),
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
    ("RPT-02", lambda p: p.remove("models/base/report")),
    ("RPT-04", lambda p: p.write(ANSWERS, (p.path / ANSWERS).read_bytes().replace(b"answer", b"number", 1))),
    ("RPT-04", lambda p: p.write(ANSWERS, (p.path / ANSWERS).read_bytes()[:-9])),
    ("RPT-03", lambda p: p.edit_task(protocol="opencompass-0.3.1/gsm8k-1d7fe4")),
    ("RPT-03", lambda p: p.edit_task(protocol="holdout/gsm8k-1d7fe4aa")),
    ("RPT-04", lambda p: p.edit_task(score="100")),
    ("RPT-04", lambda p: p.edit_answers(lambda rows: [row | {"mark": 10**6} for row in rows])),
    ("RPT-04", lambda p: p.edit_answers(lambda rows: [row | {"mark": 10**9} for row in rows])),
    ("RPT-04", lambda p: p.edit_answers(lambda rows: [row | {"mark": row["mark"] or None} for row in rows])),
    ("RPT-04", lambda p: p.edit_answers(lambda rows: [rows[0], rows[0], rows[0], rows[1]])),  # the score fits
    ("RPT-05", lambda p: p.add_task("gsm8k-fixed", protocol="opencompass-0.3.1/gsm8k-1d7fe4+fixed-1")),
    ("BND-01", lambda p: p.remove("models/base/bundle")),
    ("BND-01", lambda p: p.remove("models/base/bundle/model.gguf")),
    ("BND-03", lambda p: p.remove("models/base/proof")),
    ("BND-03", lambda p: p.write("models/base/proof/app.png", "no picture")),
    ("SRC-01", lambda p: p.remove("source/README.md")),
    ("SRC-01", lambda p: p.remove("source")),
    ("SRC-02", lambda p: p.remove("source/requirements.txt")),
    ("SRC-03", lambda p: p.write("source/run.sh", "export TOKEN=hf_" + "a1B2" * 9)),
    ("DAT-01", lambda p: p.edit_card(data=[{"name": "gsm8k/test.jsonl"}])),
    ("DAT-02", lambda p: p.edit_card(data=...)),
    ("DAT-02", lambda p: p.edit_card(data=[], derivation="from-scratch")),
    ("DAT-04", lambda p: p.edit_card(data=[{"name": "c4", "known": False}], data_allowed=False)),
    ("PKG-07", lambda p: {"max_bytes": 1000}),
    ("MDL-05", lambda p: p.edit("edgelm.json", track="from-scratch", models={"model": "models/base"})
                         or {"bases": {"known/model": p.model / "checkpoint"}}),
    ("MDL-06", lambda p: {"bases": {"tiny/base": stranger(p)}}),
    ("MDL-06", lambda p: {"bases": {"tiny/base": stranger(p), "other/base": p.model / "checkpoint"}}),
    ("CKP-08", own_code),
    ("CKP-09", lambda p: p.edit_config(auto_map={"AutoModelForCausalLM": "someone/code--modeling.Own"})),
    ("CKP-09", lambda p: p.edit_config(auto_map={"AutoModelForCausalLM": "modeling_absent.Own"})),
    ("CKP-09", lambda p: p.edit_config(_attn_implementation_internal="someone/kernel")),
    ("CKP-09", lambda p: p.edit_config(text={"inner": [{"attn_implementation": "someone/kernel:run"}]})),
    ("CKP-09", lambda p: p.edit_config(trust_remote_code=True)),
    ("TOK-01", lambda p: (p.remove("models/base/checkpoint/tokenizer.json"), p.refit())),
    ("TOK-01", lambda p: tokenizer(p, lambda t: t["model"].update(type="Rune"))),
    ("TOK-01", lambda p: tokenizer(p, lambda t: t["model"]["merges"].append(["no", "where"]))),
    ("TOK-01", lambda p: tokenizer(p, lambda t: t["model"]["vocab"].update(again=7))),
    ("TOK-01", lambda p: tokenizer(p, lambda t: t["added_tokens"][0].update(id=7))),
    ("TOK-01", lambda p: tokenizer(p, lambda t: t.update(pre_tokenizer={"pattern": {"Regex": "(a|b)*" * 9999}}))),
    ("TOK-05", lambda p: {"bases": {"tiny/base": stranger(p)}}),
    ("QNT-04", lambda p: p.write("models/base/code/fast.py", "def f():\n    from bitsandbytes.nn import Linear4bit\n")),
    ("QNT-04", lambda p: p.write("source/run.py", "import importlib\nimportlib.import_module('auto_gptq')\n")),
    ("QNT-04", lambda p: p.write("source/run.py", "model = load(path, load_in_4bit=True)\n")),
    ("QNT-04", lambda p: p.write("source/run.py", "import awq\nprint 'an old Python'\n")),
    ("QNT-05", lambda p: p.edit_tensors(quantise(7))),
    ("QNT-06", lambda p: p.edit_tensors(quantise(150))),
    ("BND-02", lambda p: p.write("models/base/bundle/app.apk", "no zip")),
    ("BND-02", lambda p: app(p, machine=62)),
    ("BND-02", lambda p: app(p, library="lib/x86_64/libapp.so")),
    ("SRC-04", lambda p: p.write("source/tool", b"\x7fELF\2\1\1" + bytes(60))),
    ("DAT-03", lambda p: p.write("source/train.py", "data = load_dataset('EleutherAI/pile')\n")),
    ("DAT-03", lambda p: p.write("source/train.py", "rows = open('data/gsm8k/test.jsonl')\n")),
    ("DAT-03", lambda p: p.write("source/train.yaml", "files: [gsm8k/test.jsonl]\n")),
    ("LNK-01", lambda p: linked(p, url="http://huggingface.co/a")),
    ("LNK-01", lambda p: linked(p, url="https://127.0.0.1/a")),
    ("LNK-01", lambda p: linked(p, url="https://me:secret@huggingface.co/a")),
    ("LNK-01", lambda p: linked(p, url="https://example.org/a")),
    ("LNK-01", lambda p: linked(p, Gives(Refused("LNK-01", "a login is needed (status 401)")))),
    ("LNK-01", lambda p: linked(p, Gives(Unreachable("huggingface.co cannot be found from here")))),
    ("LNK-02", lambda p: linked(p, Gives(Refused("LNK-02", "a page came instead of the file")))),
    ("LNK-03", lambda p: linked(p, sha256=...)),
    ("LNK-03", lambda p: linked(p, size=...)),
    ("LNK-03", lambda p: linked(p, Gives(Fetched(2, "a" * 64)))),
    ("LNK-03", lambda p: linked(p, Gives(Fetched(3, "b" * 64)))),
    ("SEC-01", lambda p: p.write("source/state.pkl", pickle.dumps(_Runs()))),
    ("SEC-01", lambda p: p.write("source/notes.txt", pickle.dumps(_Runs()))),
    ("SEC-01", lambda p: (p.write("models/base/checkpoint/chat_template.jinja", "{{ ''.__class__ }}"), p.refit())),
    ("SEC-01", lambda p: (p.edit("models/base/checkpoint/tokenizer_config.json", chat_template=[
        {"name": "default", "template": "{{ ''.__class__ }}"}]), p.refit())),
    ("DUP-01", lambda p: {"beside": [p.twin()]}),
    ("DUP-02", lambda p: {"beside": [p.twin()]}),
    ("CLM-02", lambda p: results(p, "GSM8K", "gsm8k_gen")),
    ("CLM-03", lambda p: results(p, "75.00", "75 %")),
    ("CLM-04", lambda p: claimed(p, TruthfulQA="0.173")),
    ("CLM-07", lambda p: results(p, "\nbase,", "\nsomething-else,")),
    ("CLM-13", lambda p: p.write("results.csv", (p.path / "results.csv").read_text().replace("\n", "\r\n"))),
]  # fmt: skip


@pytest.mark.parametrize("name", ["clean", "clean_from_scratch"])
def test_a_clean_package_has_no_finding(request: pytest.FixtureRequest, rules: Rules, name: str) -> None:
    findings = check(request.getfixturevalue(name), rules, values=True)
    assert findings == []
    assert worst(findings) is None
    assert exit_code(findings) == 0


@pytest.mark.parametrize(("code", "break_it"), BREAKS, ids=[f"{n}-{code}" for n, (code, _) in enumerate(BREAKS)])
def test_each_break_is_found_under_its_code(package: Any, rules: Rules, code: str, break_it: Any) -> None:
    options = break_it(package)
    options = options if isinstance(options, dict) else {}
    before = {name: (package.path / name).read_bytes() for name in tree_files(package.path)}
    findings = check(package.path, rules, values=True, **options)
    assert code in {finding.code for finding in findings}, findings
    assert all(finding.what and finding.why and finding.mend for finding in findings)
    assert not any(str(package.path) in finding.what + finding.path for finding in findings)
    assert not any("not as expected" in finding.what for finding in findings if code != "CKP-04"), findings
    assert exit_code(findings) == int("E" in {finding.severity for finding in findings})
    assert {name: (package.path / name).read_bytes() for name in tree_files(package.path)} == before


def test_every_code_has_a_break_or_is_of_an_archive() -> None:
    elsewhere = {"PKG-01", "PKG-03", "CLM-09", "CLM-11", "CLM-12", "LNK-04"}  # test_package.py, test_claims.py, pack
    assert CODES.keys() - {code for code, _ in BREAKS} == elsewhere


# Breaks that leave each other alone: files, cards, configurations and claims of their own.
APART = {
    "PKG-06": lambda p: (p.path / "source/more.py").write_text("pass"),
    "MDL-04": lambda p: p.edit_card(base=...),
    "CKP-07": lambda p: p.write("models/base/checkpoint/optimizer.pt"),
    "QNT-01": lambda p: p.edit_config(quantization_config={"bits": 4}),
    "CKP-09": lambda p: p.edit_config(trust_remote_code=True),
    "DTY-04": lambda p: p.edit_config(dtype="float32"),
    "CLM-10": lambda p: results(p, "75.00", "75.1"),
    "RPT-04": lambda p: p.edit_answers(lambda rows: [rows[0], rows[0], rows[0], rows[1]]),
    "BND-03": lambda p: p.remove("models/base/proof"),
    "SRC-02": lambda p: p.remove("source/requirements.txt"),
    "QNT-04": lambda p: p.write("source/run.py", "import awq\n"),
    "DAT-01": lambda p: p.edit_card(data=[{"name": "pile"}]),
}


@pytest.mark.parametrize(("one", "other"), list(pairwise(APART)) + list(zip(APART, reversed(APART), strict=True))[:5])
def test_findings_do_not_hide_each_other(package: Any, rules: Rules, one: str, other: str) -> None:
    APART[other](package)
    APART[one](package)
    if "PKG-06" in (one, other):
        APART["PKG-06"](package)
        package.edit("edgelm.json", files=[entry for entry in json.loads((package.path / "edgelm.json").read_text())[
            "files"] if entry["path"] != "source/more.py"])  # fmt: skip
    assert {found.code for found in check(package.path, rules, values=True)} >= {one, other}


def test_the_whole_output(package: Any, rules: Rules) -> None:
    """`EDGELM_SNAPSHOT=1` writes it anew."""
    for code, break_it in APART.items():
        if code not in ("RPT-04", "PKG-06"):
            break_it(package)
    APART["PKG-06"](package)
    found = json.dumps(as_json(check(package.path, rules)), indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("EDGELM_SNAPSHOT"):
        SNAPSHOT.write_text(found)
    assert found == SNAPSHOT.read_text()
