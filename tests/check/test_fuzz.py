"""Mutated submissions: the checker never fails, never writes, never passes what changes a score, a weight or a rule.

`EDGELM_FUZZ=2000` tries so many of them, otherwise 150; a number in a failure's name is the seed that makes it again.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.archives.unpack import unpack
from edgelm.archives.zips import zip_tree
from edgelm.check.run import check, worst
from edgelm.checkpoint import Checkpoint
from edgelm.errors import EdgelmError
from edgelm.files import JsonLog, tree_files
from edgelm.rules import Rules

SEEDS = range(int(os.environ.get("EDGELM_FUZZ", "150")))
SECRET = "f3a9-what-lies-outside"  # the content of a file that no name has in it
WITHOUT_PLACE = {"PKG-01", "PKG-03", "PKG-07"}  # findings that may be of the whole package
Mutation = Callable[[random.Random, Any, Path], object]


def flip(r: random.Random, p: Any, file: Path) -> None:
    """A few other bytes."""
    data = bytearray(file.read_bytes()) or bytearray(1)
    for _ in range(r.randint(1, 8)):
        data[r.randrange(len(data))] = r.randrange(256)
    file.unlink()
    file.write_bytes(data)


def cut(r: random.Random, p: Any, file: Path) -> None:
    os.truncate(file, r.randrange(file.stat().st_size + 1))


def delete(r: random.Random, p: Any, file: Path) -> None:
    file.unlink()


def rename(r: random.Random, p: Any, file: Path) -> None:
    new = r.choice([file.name.upper(), file.name + "x", "x" + file.name, file.name.swapcase(), "ﬁ" + file.name])
    file.rename(file.with_name(new))


def swap(r: random.Random, p: Any, file: Path) -> None:
    other = p.path / r.choice(tree_files(p.path))
    one, two = file.read_bytes(), other.read_bytes()
    file.write_bytes(two)
    other.write_bytes(one)


def enlarge(r: random.Random, p: Any, file: Path) -> None:
    os.truncate(file, file.stat().st_size + r.choice([1, 1000, 1 << 20, 70 << 20]))


def link(r: random.Random, p: Any, file: Path) -> None:
    file.unlink()
    file.symlink_to(r.choice(["/etc/passwd", "../../outside", "/dev/zero", file.name, "absent"]))


def pipe(r: random.Random, p: Any, file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def nest(r: random.Random, p: Any, file: Path) -> None:
    """A folder where a file should be."""
    file.unlink()
    file.mkdir()


def recode(r: random.Random, p: Any, file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data.decode("latin-1").encode(r.choice(["utf-16", "utf-8-sig", "utf-32"])))


def spoil_json(r: random.Random, p: Any, file: Path) -> None:
    """One value of a JSON file becomes something else."""
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        return flip(r, p, file)
    at: Any = content
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at))) if isinstance(at, list) else []
        if not keys:
            file.write_text(r.choice(["[]", "null", "{", '"text"', "NaN"]))
            return None
        key = r.choice(keys)
        if isinstance(at[key], dict | list) and at[key] and r.random() < 0.8:
            at = at[key]
            continue
        at[key] = r.choice(
            [None, -1, 10**30, 0.5, "", "../../etc/passwd", [], {}, True, "\ud800", "x" * 10_000, [[[]]]]
        )
        break
    file.write_text(json.dumps(content))
    return None


def climb(r: random.Random, p: Any, file: Path) -> None:
    """The manifest leads out of the package."""
    manifest = json.loads((p.path / "edgelm.json").read_text())
    manifest["files"].append({"path": "../outside/secret", "size": 6, "sha256": "0" * 64})
    manifest[r.choice(["claims", "track"])] = "../outside/secret"
    (p.path / "edgelm.json").write_text(json.dumps(manifest))


def more(r: random.Random, p: Any, file: Path) -> None:
    """Another file, of a kind that is looked into."""
    name = r.choice(["x.pkl", "x.py", "x.apk", "x.safetensors", "links.json", "x.jsonl", "x.ipynb", "x\n.py", "é.txt"])
    (file.parent / name).write_bytes(r.randbytes(r.choice([0, 1, 100, 5000])))


def not_a_number(r: random.Random, p: Any, file: Path) -> None:
    data = bytearray(p.weights.read_bytes())
    at = len(data) - 2 * r.randint(1, 10_000)
    data[at : at + 2] = b"\x00\x7e"
    p.weights.write_bytes(data)


def many_lines(r: random.Random, p: Any, file: Path) -> None:
    """Answers of newlines, before, behind or instead of the others."""
    path = p.model / "report/answers/gsm8k.jsonl"
    data, more = path.read_bytes(), b"\n" * r.choice([1, 1000, 300_000])
    path.write_bytes(r.choice([data + more, more + data, more]))


def long_shape(r: random.Random, p: Any, file: Path) -> None:
    """A tensor of many or large dimensions."""
    shape = r.choice([[10**17] * 50_000, [1] * 1000, [2**63, 2**63, 0], [True, 1], [10**300]])
    header = json.dumps({"a": {"dtype": "F16", "shape": shape, "data_offsets": [0, 2]}}).encode()
    p.weights.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")


def slots(r: random.Random, p: Any, file: Path) -> None:
    """One model in many slots, or one that lies elsewhere."""
    elsewhere = ["source", "source/base", "models", "./models/base", "models//base", "models/base/", "models/../source"]
    many = {f"m{number}": "models/base" for number in range(r.choice([2, 17, 5000]))}
    models = r.choice([many, {"base": r.choice(elsewhere)}, {"base": "models/base", "other": "models/base"}])
    p.edit("edgelm.json", models=models)


def inner_zip(r: random.Random, p: Any, file: Path) -> None:
    """A zip of many or large pickles, or one whose parts lie apart."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(r.choice([1, 100, 11_000])):
            archive.writestr(f"{number}/data.pkl", bytes(r.choice([0, 1000])))
    name = r.choice(["source/x.pt", "models/base/bundle/x.apk", "models/base/checkpoint/x.bin"])
    (p.path / name).write_bytes(r.choice([data.getvalue(), data.getvalue()[:-30], data.getvalue() + b"more"]))


MUTATIONS: list[Mutation] = [flip, cut, delete, rename, swap, enlarge, link, pipe, nest, recode, spoil_json, climb,
                             more, not_a_number, flip, spoil_json, spoil_json, many_lines, long_shape, slots,
                             inner_zip]  # fmt: skip


def essence(folder: Path) -> Any:
    """What decides scores and rules in a package; None if it cannot be told."""
    if any(path.is_symlink() or not (path.is_file() or path.is_dir()) for path in folder.rglob("*")):
        return None  # a pipe or a device may never end
    try:
        manifest = json.loads((folder / "edgelm.json").read_bytes())
        model = folder / "models/base"
        report = json.loads((model / "report/report.json").read_bytes())
        rows = JsonLog(model / "report/answers/gsm8k.jsonl").read(repair=False)
        checkpoint = Checkpoint(model / "checkpoint").file_digests()  # other files beside them are never read
        tasks = {task: (score["score"], score["samples"], score["protocol"]) for task, score in report["tasks"].items()}
        return [manifest["track"], manifest["rules"], manifest["models"], tasks, checkpoint,
                [(row["sample"], row.get("mark")) for row in rows]]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EdgelmError):
        return None


def outside(tmp_path: Path) -> dict[str, bytes]:
    return {name: (tmp_path / name).read_bytes() for name in tree_files(tmp_path) if not name.startswith("package")}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutated_folder(package: Any, tmp_path: Path, rules: Rules, seed: int) -> None:
    r = random.Random(seed)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text(SECRET)
    clean = essence(package.path)
    names = tree_files(package.path)
    chosen = r.choice(names)
    mutation = r.choice(MUTATIONS)
    mutation(r, package, package.path / chosen)
    if r.random() < 0.5 and (package.path / "edgelm.json").is_file() and mutation is not climb:
        with contextlib.suppress(ValueError, AttributeError, TypeError):  # the manifest itself is broken
            package.relist()
    before = outside(tmp_path)
    findings = check(package.path, rules, values=True)
    assert outside(tmp_path) == before
    assert all(found.path or found.code in WITHOUT_PLACE for found in findings)
    assert SECRET not in json.dumps([found.as_json() for found in findings])
    if essence(package.path) != clean:  # missing answers are told; the organiser makes all of them anew
        told = worst(findings) in ("E", "R") or any(found.code == "RPT-02" for found in findings)
        assert told, (mutation.__name__, chosen, findings)


@pytest.mark.parametrize("seed", SEEDS[: len(SEEDS) // 3])
def test_a_mutated_archive(clean: Path, tmp_path: Path, rules: Rules, monkeypatch: Any, seed: int) -> None:
    r = random.Random(seed)
    scratch, path = tmp_path / "scratch", tmp_path / "package.zip"
    scratch.mkdir()
    zip_tree(clean, path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    for _ in range(r.randint(1, 4)):  # most in the directory, which is small
        at = r.randrange(directory, len(data)) if r.random() < 0.6 else r.randrange(len(data))
        data[at] = r.randrange(256)
    path.write_bytes(data[: r.choice([None, None, None, len(data) // 2, len(data) - 1])])
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    findings = check(path, rules)
    assert not list(scratch.iterdir()) and {found.name for found in tmp_path.iterdir()} == {"scratch", "package.zip"}
    if worst(findings) not in ("E", "R"):
        unpack(path, scratch, max_bytes=1 << 30)
        assert essence(scratch) == essence(clean)
