"""Training text: every format, what is taken from a data folder, and under which name it goes on a card."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.data.texts import Document, from_file, from_folder
from edgelm.errors import BadFile, MissingInput
from edgelm.files import sha256_bytes

ALPACA = {"instruction": "Add.", "input": "1 + 1", "output": "2"}
ASKED = Document("2", "Add.\n1 + 1")


def put(folder: Path, name: str, rows: Any) -> bytes:
    data = json.dumps(rows).encode()
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return data


@pytest.mark.parametrize(
    ("name", "text", "documents"),
    [
        ("a.txt", "One.\nStill one.", [Document("One.\nStill one.")]),
        ("a.txt", "One.\n<|endoftext|>\nTwo.\n<|endoftext|>\n", [Document("One."), Document("Two.")]),
        ("a.jsonl", '{"text": "One."}\n\n{"text": "Two."}\n', [Document("One."), Document("Two.")]),
        ("a.json", '{"text": "One."}\n{"text": "Two."}\n', [Document("One."), Document("Two.")]),
        ("a.json", json.dumps([{"text": "One."}]), [Document("One.")]),
        ("a.json", json.dumps([ALPACA]), [ASKED]),
        ("a.jsonl", json.dumps(ALPACA | {"text": "Below is an instruction …"}), [ASKED]),
        ("a.json", json.dumps([{f"zh_{key}": value for key, value in ALPACA.items()}]), [ASKED]),
        ("a.json", json.dumps([ALPACA | {"input": ""}]), [Document("2", "Add.")]),
        ("a.json", json.dumps([{"instruction": "Add.", "output": ""}]), [Document("", "Add.")]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_formats(tmp_path: Path, name: str, text: str, documents: list[Document], zipped: bool) -> None:
    data = text.encode()
    path = tmp_path / (name + ".gz" if zipped else name)
    path.write_bytes(gzip.compress(data) if zipped else data)
    source = from_file(path)
    assert source.documents == documents
    assert (source.name, source.sha256, source.licence) == (name, sha256_bytes(data), "")


@pytest.mark.parametrize(
    ("name", "data", "error", "what"),
    [
        ("a.txt", b" \n", MissingInput, "holds no text"),
        ("a.json", b"", MissingInput, "holds no text"),
        ("a.json", b"[]", MissingInput, "holds no text"),
        ("a.txt", b"\xff\xfe", BadFile, "no text"),
        ("a.json", b'[{"text": "\xff"}]', BadFile, "not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text"\n', BadFile, "line 2"),
        ("a.jsonl", b'{"text": "a"}\n\n3\n', BadFile, "line 3 .* no JSON object"),
        ("a.json", b'[{"text": "a"}, ["b"]]', BadFile, "row 2 .* no JSON object"),
        ("a.json", b'[{"question": "a"}]', MissingInput, "row 1 .* no 'text'"),
        ("a.json", b'[{"text": null}]', BadFile, "row 1 .* 'text' is no text"),
        ("a.json", b'[{"instruction": "a"}]', MissingInput, "row 1 .* no 'output'"),
        ("a.json", b'[{"instruction": "a", "input": 3, "output": "b"}]', BadFile, "row 1 .* 'input' is no text"),
        ("a.json", b'[{"zh_instruction": "a", "output": "b"}]', MissingInput, "row 1 .* no 'zh_output'"),
        ("a.txt.gz", b"plain", BadFile, "gzip"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_row(
    tmp_path: Path, name: str, data: bytes, error: type[Exception], what: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error, match=what) as caught:
        from_file(tmp_path / name)
    assert type(caught.value) is error
    assert str(tmp_path / name) in caught.value.what
    assert caught.value.mend


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"there\.txt"):
        from_file(tmp_path / "there.txt")
    with pytest.raises(MissingInput, match=r"lacks c4/there\.jsonl"):
        from_folder(DataFolder(tmp_path), ["c4/there.jsonl"])


def test_a_folder_of_other_files_counts_as_its_folders_say(tmp_path: Path) -> None:
    put(tmp_path, "alpaca/deep/mine.json", [ALPACA])
    put(tmp_path, "alpaca/zh/mine.json", [ALPACA])
    put(tmp_path, "c4/mine.jsonl", {"text": "One."})
    put(tmp_path, "own/mine.jsonl", {"text": "Two."})
    (tmp_path / "c4" / "shard.json.gz").write_bytes(gzip.compress(b'{"text": "Three."}'))
    (tmp_path / "c4" / "README.md").write_text("no training text")
    data = DataFolder(tmp_path)
    found = [(source.name, source.licence, source.documents) for source in from_folder(data)]
    assert found == [
        ("c4", "ODC-BY-1.0", [Document("One.")]), ("c4", "ODC-BY-1.0", [Document("Three.")]),
        ("alpaca", "CC-BY-NC-4.0", [ASKED]), ("alpaca-zh", "CC-BY-NC-4.0", [ASKED]),
    ]  # fmt: skip
    (named,) = from_folder(data, ["own/mine.jsonl"])
    assert (named.name, named.licence) == ("mine.jsonl", "")
    assert from_folder(data, ["c4/shard.json.gz"]) == from_folder(data, ["c4/shard.json"])


def test_the_miniature_suite_goes_by_its_name(tmp_path: Path) -> None:
    write(tmp_path / "suite", rows=5, train_rows=100)
    put(tmp_path / "suite", "c4/stray.jsonl", {"text": "not listed"})
    plain, asked = from_folder(DataFolder(tmp_path / "suite"))
    assert {(source.name, source.licence) for source in (plain, asked)} == {("miniature", "Apache-2.0")}
    assert plain.documents[0].question is None and asked.documents[0].question
    put(tmp_path / "suite", "alpaca/miniature.json", [ALPACA])
    with pytest.raises(BadFile, match="not the pinned edition"):
        from_folder(DataFolder(tmp_path / "suite"))
    (tmp_path / "suite" / "alpaca" / "miniature.json").unlink()
    with pytest.raises(MissingInput, match=r"lacks alpaca/miniature\.json"):
        from_folder(DataFolder(tmp_path / "suite"))


def test_another_suite_of_its_own_is_not_the_miniature(tmp_path: Path) -> None:
    digest = sha256_bytes(put(tmp_path, "c4/mine.jsonl", {"text": "One."}))
    put(tmp_path, "suite.json", {"name": "small-1", "files": {"c4/mine.jsonl": digest}})
    assert [source.name for source in from_folder(DataFolder(tmp_path))] == ["c4"]


def test_without_a_folder_there_is_no_training_text() -> None:
    assert from_folder(DataFolder(offline=True)) == []


def test_upstream_text_is_recognised(shared: Path, tmp_path: Path) -> None:
    names = {source.name: source for source in from_folder(DataFolder(shared / "data", offline=True))}
    assert list(names) == ["c4", "alpaca", "alpaca-zh"]
    assert [len(source.documents) for source in names.values()] == [300, 52_002, 52_002]
    assert names["alpaca"].licence == "CC-BY-NC-4.0"
    copy = tmp_path / "other.jsonl.gz"
    copy.write_bytes((shared / "data" / "c4" / "llamafactory" / "c4_demo.jsonl.gz").read_bytes())
    assert from_file(copy) == names["c4"]
