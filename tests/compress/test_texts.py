from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from edgelm.chat import Turn
from edgelm.compress.texts import built_in, find_texts, from_file, from_folder
from edgelm.data.folder import DataFolder
from edgelm.errors import BadFile, MissingInput
from edgelm.files import sha256_bytes

ALPACA = {"instruction": "Add.", "input": "1 + 1", "output": "2"}
ASKED = (Turn("user", "Add.\n1 + 1"), Turn("assistant", "2"))


@pytest.mark.parametrize(
    ("name", "text", "documents"),
    [
        ("a.txt", "One.\nStill one.", ["One.\nStill one."]),
        ("a.txt", "One.\n<|endoftext|>\nTwo.\n<|endoftext|>\n", ["One.", "Two."]),
        ("a.jsonl", '{"text": "One."}\n\n{"text": "Two."}\n', ["One.", "Two."]),
        ("a.json", json.dumps([{"text": "One."}]), ["One."]),
        ("a.json", json.dumps([ALPACA]), [ASKED]),
        ("a.json", json.dumps([{f"zh_{key}": value for key, value in ALPACA.items()}]), [ASKED]),
        ("a.json", json.dumps([{**ALPACA, "input": ""}]), [(Turn("user", "Add."), Turn("assistant", "2"))]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_formats(tmp_path: Path, name: str, text: str, documents: list[Any], zipped: bool) -> None:
    data = text.encode()
    path = tmp_path / (name + ".gz" if zipped else name)
    path.write_bytes(gzip.compress(data) if zipped else data)
    source = from_file(path)
    assert source.documents == documents
    assert (source.name, source.sha256, source.licence) == (name, sha256_bytes(data), "")


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.txt", b" \n", "holds no text"),
        ("a.txt", b"\xff\xfe", "no text"),
        ("a.jsonl", b'{"text": "a"}\n{"text"\n', "line 2"),
        ("a.jsonl", b"3\n", "no list of rows"),
        ("a.json", b'{"text": "a"}', "no list of rows"),
        ("a.json", b'[{"question": "a"}]', "neither text nor instruction"),
        ("a.txt.gz", b"plain", "gzip"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, data: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadFile, match=what) as caught:
        from_file(tmp_path / name)
    assert name in caught.value.what
    assert caught.value.mend


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"there\.txt"):
        from_file(tmp_path / "there.txt")


def test_a_suite_of_its_own_gives_its_training_text(tmp_path: Path) -> None:
    rows = json.dumps([ALPACA]).encode()
    (tmp_path / "alpaca").mkdir()
    (tmp_path / "alpaca" / "miniature.json").write_bytes(rows)
    suite = {"name": "small-1", "files": {"alpaca/miniature.json": sha256_bytes(rows)}}
    (tmp_path / "suite.json").write_text(json.dumps(suite))
    [source] = from_folder(DataFolder(tmp_path))
    assert (source.name, source.documents) == ("miniature", [ASKED])


def test_files_before_folder_before_built_in(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Mine.")
    (tmp_path / "empty").mkdir()
    assert [text.name for text in find_texts([tmp_path / "mine.txt"], DataFolder(tmp_path))] == ["mine.txt"]
    assert find_texts([], DataFolder(tmp_path / "empty", offline=True)) == [built_in()]
    assert built_in().fallback
    assert len(built_in().documents) > 10


def test_real_training_text_is_recognised(shared: Path) -> None:
    names = {source.name: source for source in from_folder(DataFolder(shared / "data", offline=True))}
    assert list(names) == ["c4", "alpaca", "alpaca-zh"]
    assert [len(source.documents) for source in names.values()] == [300, 52_002, 52_002]
    assert names["alpaca"].licence == "CC-BY-NC-4.0"
    copy = from_file(shared / "data" / "c4" / "llamafactory" / "c4_demo.jsonl.gz")
    assert (copy.name, copy.sha256) == ("c4", names["c4"].sha256)
