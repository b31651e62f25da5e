"""Training text as streams: the same documents as when read whole, in little memory, and every fault in its place."""

from __future__ import annotations

import gzip
import io
import json
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from edgelm.data.documents import Document, joined
from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.data.rows import texts
from edgelm.data.text_files import TextFile, fetched, training_files
from edgelm.data.texts import from_file
from edgelm.errors import BadFile, MissingInput, MissingPackage, Offline, Unsupported
from edgelm.files import sha256_bytes

ALPACA = {"instruction": "Add.", "input": "1 + 1", "output": "2"}


def parquet(rows: list[dict[str, Any]]) -> bytes:
    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), made)
    return made.getvalue()


def put(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, columns: tuple[str, ...] = ()) -> list[Document]:
    return list(TextFile(path, path.name, ("mine", ""), columns).documents())


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("name", "content"), [
    ("a.jsonl", '{"text": "One."}\n\n{"text": "Two."}'),
    ("a.json", '\n{"text": "One."}\n{"text": "Two."}\n'),
    ("a.json", "\n " + json.dumps([{"text": "One."}, {"text": "Two."}], indent=1)),
    ("a.json", "\ufeff" + json.dumps([ALPACA])),
    ("a.jsonl", json.dumps(ALPACA | {"text": "Below is an instruction …"})),
    ("a.json", json.dumps([{f"zh_{key}": value for key, value in ALPACA.items()} | {"en_output": "no"}])),
    ("a.txt", "One.\nStill one."), ("a.utf8", " One. <|endoftext|>\nTwo.\n<|endoftext|>\n"),
    ("a.parquet", parquet([{"text": "One.", "url": "http://a"}, {"text": "水", "url": "http://b"}])),
    ("a.parquet", parquet([ALPACA, ALPACA | {"input": ""}])),
])  # fmt: skip
def test_a_stream_gives_what_the_whole_gives(tmp_path: Path, name: str, content: bytes | str, zipped: bool) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    path = put(tmp_path, name + ".gz" if zipped else name, gzip.compress(data) if zipped else data)
    whole = from_file(path)
    file = TextFile(path, name, ("mine", "a licence"))
    assert list(file.documents()) == whole.documents
    assert (file.sha256, file.known) == (whole.sha256, False) == (sha256_bytes(data), False)
    assert (file.name, file.licence) == ("mine", "a licence")


def test_plain_text_is_parted_alike_however_it_is_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    words = ["a", "bb", "水", "\n", " ", "<|endoftext|>", "word" * 9, "<|endof"]
    for _ in range(60):
        text = "".join(draw.choice(words) for _ in range(80))
        found = []
        for block in (1, 7, 1 << 20):
            monkeypatch.setattr("edgelm.data.rows.CHUNK", block)
            found.append(list(texts(io.BytesIO(text.encode()), Path("a.txt"), longest=30)))
        assert found[0] == found[1] == found[2]
        assert all(0 < len(piece) <= 30 for piece in found[0])
        assert "".join("".join(found[0]).split()) == "".join(text.replace("<|endoftext|>", "").split())


def test_long_plain_text_is_cut_at_lines_or_else_at_words() -> None:
    def cut(text: str) -> list[str]:
        return list(texts(io.BytesIO(text.encode()), Path("a.txt"), longest=12))

    assert cut("one two\nthree four five") == ["one two", "three four", "five"]
    assert cut("0123456789abcdef") == ["0123456789ab", "cdef"]


@pytest.mark.parametrize("make", [
    lambda rows: "\n".join(map(json.dumps, rows)).encode(),
    lambda rows: "\n<|endoftext|>".join(row["text"] for row in rows).encode(), parquet,
])  # fmt: skip
def test_memory_does_not_grow_with_the_file(tmp_path: Path, make: Callable[[Any], bytes]) -> None:
    draw = random.Random(0)
    rows = [{"text": draw.randbytes(4000).hex()} for _ in range(3000)]  # 24 MB
    ending = {b"{": ".jsonl", b"P": ".parquet"}
    content = make(rows)
    path = put(tmp_path, "a" + ending.get(content[:1], ".txt"), content)
    del rows, content
    tracemalloc.start()
    try:
        assert sum(1 for _ in TextFile(path, "a", ("", "")).documents()) == 3000
        assert tracemalloc.get_traced_memory()[1] < 9_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("name", "content", "error", "what"), [
    ("a.txt", b"good\n" * 9 + b"\xff", BadFile, "line 10 of"),
    ("a.txt", b"good\n\xe6\xb0", BadFile, "line 2 of"),
    ("a.jsonl", b'{"text": "a"}\n\n{"text": "\xff"}', BadFile, "line 3 of .* not UTF-8"),
    ("a.jsonl", b'{"text": "a"}\n{"text"\n', BadFile, "line 2 of"),
    ("a.json", b'[{"text": "a"}, ["b"]]', BadFile, "row 2 of .* no JSON object"),
    ("a.jsonl", b'{"text": "a"}\n{"prefix": "b", "rest": "c"}', MissingInput, "line 2 of .* no 'text'"),
    ("a.parquet", parquet([{"text": "a"}, {"text": None}]), BadFile, "row 2 of .* 'text' is no text"),
    ("a.parquet", parquet([{"content": "a"}]), MissingInput, "row 1 of .* no 'text'"),
    ("a.parquet", b"PAR1 and no more", BadFile, "no sound parquet"),
    ("a.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 9999)[:-30], BadFile, "no sound gzip"),
    ("a.jsonl.gz", b"plain", BadFile, "no sound gzip"),
])  # fmt: skip
def test_faults_are_named_with_file_and_row(
    tmp_path: Path, name: str, content: bytes, error: type[Exception], what: str
) -> None:
    path = put(tmp_path, name, content)
    with pytest.raises(error, match=what) as caught:
        read(path)
    assert type(caught.value) is error and str(path) in caught.value.what and caught.value.mend


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"there\.jsonl"):
        read(tmp_path / "there.jsonl")
    with pytest.raises(MissingInput, match=r"lacks c4/there\.jsonl"):
        training_files(DataFolder(tmp_path), ["c4/there.jsonl.gz"])


def test_parquet_without_its_package_says_which_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "a.parquet", parquet([{"text": "a"}]))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackage, match=r"pyarrow(?s:.*)model"):
        read(path)


def test_named_columns_are_joined_where_a_row_has_them(tmp_path: Path) -> None:
    rows = [{"prefix": "It was", "gold": "late."}, {"text": "Whole."}]
    path = put(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert read(path, ("prefix", "gold")) == [Document("It was late."), Document("Whole.")]
    with pytest.raises(MissingInput, match=r"no 'text'\n(?s:.*)prefix, gold\n(?s:.*)corpus:columns=prefix\+gold"):
        read(path)
    with pytest.raises(MissingInput, match=r"no 'rest'\n(?s:.*)corpus:columns=prefix\+gold"):
        read(path, ("prefix", "rest"))
    table = put(tmp_path, "b.parquet", parquet([{"a": "x", "b": "y", "c": "z"}]))
    assert read(table, ("c", "a")) == [Document("z x")]


def test_pieces_are_joined_as_they_were_cut() -> None:
    for parts, whole in ((["one", "two"], "one two"), (["one ", "two"], "one two"), (["one", ".\nTwo"], "one.\nTwo"),
                         (["水", "火"], "水火"), (["水", "a"], "水a"), (["", "two"], "two"), ([], "")):  # fmt: skip
        assert joined(parts) == whole


def test_all_readable_files_are_found_and_the_others_told(tmp_path: Path) -> None:
    text = '{"text": "One."}'
    for name in ("c4/en/c4-train.00000-of-01024.json", "c4/zh/a.jsonl", "c4/multilingual/c4-zh.tfrecord-00000.json",
                 "c4/multilingual/c4-de.tfrecord-00000.json"):  # fmt: skip
        put(tmp_path, name, text)
    put(tmp_path, "c4/b.txt.gz", gzip.compress(b"text"))
    put(tmp_path, "c4/README.txt", "no training text")
    put(tmp_path, "c4/c.parquet", parquet([{"text": "a"}]))
    put(tmp_path, "c4/pieces.jsonl", '{"prefix": "a", "rest": "b"}')
    put(tmp_path, "c4/dataset_info.json", '{\n "name": "c4",\n "splits": []\n}')
    put(tmp_path, "c4/a.tfrecord-00000-of-00008.gz", b"records")
    put(tmp_path, "alpaca/mine.json", json.dumps([ALPACA]))
    put(tmp_path, "alpaca/alpaca_gpt4_data_zh.json", json.dumps([ALPACA]))
    put(tmp_path, "own/mine.jsonl", text)
    found = training_files(DataFolder(tmp_path))
    assert [(file.file, file.name) for file in found.files] == [
        ("c4/b.txt", "c4"), ("c4/c.parquet", "c4"), ("c4/en/c4-train.00000-of-01024.json", "c4"),
        ("c4/multilingual/c4-de.tfrecord-00000.json", "c4-de"), ("c4/multilingual/c4-zh.tfrecord-00000.json", "c4-zh"),
        ("c4/zh/a.jsonl", "c4-zh"), ("alpaca/alpaca_gpt4_data_zh.json", "alpaca-zh"), ("alpaca/mine.json", "alpaca"),
    ]  # fmt: skip
    assert set(found.skipped) == {"c4/pieces.jsonl", "c4/dataset_info.json", "c4/a.tfrecord-00000-of-00008"}
    assert "corpus:columns=prefix+rest" in found.skipped["c4/pieces.jsonl"]
    pieces = training_files(DataFolder(tmp_path), columns=("prefix", "rest"))
    assert "c4/pieces.jsonl" in [file.file for file in pieces.files]
    with pytest.raises(MissingInput, match=r"columns prefix, typo\n(?s:.*)pieces.jsonl has prefix, rest"):
        training_files(DataFolder(tmp_path), columns=("prefix", "typo"))
    (own,) = training_files(DataFolder(tmp_path), ["own/mine.jsonl"]).files
    assert (own.name, own.licence) == ("mine.jsonl", "")
    with pytest.raises(Unsupported, match="cannot be read"):
        training_files(DataFolder(tmp_path), ["c4/a.tfrecord-00000-of-00008"])


def test_a_damaged_file_is_not_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "c4/a.jsonl", '{"text": "a"')
    (file,) = training_files(DataFolder(tmp_path)).files
    with pytest.raises(BadFile, match="line 1 of"):
        list(file.documents())


def test_a_suite_of_its_own_is_what_it_lists(tmp_path: Path) -> None:
    write(tmp_path / "suite", rows=5, train_rows=100)
    put(tmp_path / "suite", "c4/stray.jsonl", '{"text": "not listed"}')
    found = training_files(DataFolder(tmp_path / "suite"))
    assert [(file.file, file.name, file.known) for file in found.files] == [
        ("c4/miniature.jsonl", "miniature", True), ("alpaca/miniature.json", "miniature", True),
    ]  # fmt: skip
    put(tmp_path / "suite", "c4/miniature.jsonl", '{"text": "other"}')
    with pytest.raises(BadFile, match="not the pinned edition"):
        list(training_files(DataFolder(tmp_path / "suite")).files[0].documents())


def test_upstream_files_are_pinned_in_their_place_and_known_elsewhere(shared: Path, tmp_path: Path) -> None:
    name = "c4/llamafactory/c4_demo.jsonl"
    content = gzip.decompress((shared / "data" / f"{name}.gz").read_bytes())
    put(tmp_path, name, content)
    put(tmp_path, "alpaca/copy.jsonl", content)
    put(tmp_path, "alpaca/other.jsonl", content + b"\n")
    copy, other, pinned = sorted(training_files(DataFolder(tmp_path)).files, key=lambda file: file.file)
    assert [(file.name, file.known) for file in (copy, other, pinned)] == [
        ("c4", True), ("alpaca", False), ("c4", True),
    ]  # fmt: skip
    assert sum(1 for _ in pinned.documents()) == 300
    put(tmp_path, name, content + b"\n")
    (pinned,) = training_files(DataFolder(tmp_path), [name]).files
    with pytest.raises(BadFile, match="not the pinned edition"):
        next(pinned.documents())


def test_what_is_pinned_can_be_fetched_unless_the_network_is_off(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("EDGELM_CACHE", str(tmp_path / "cache"))
    put(tmp_path, "cache/data/alpaca/en/alpaca_data.json", json.dumps([ALPACA]))
    file = fetched(DataFolder(offline=True), "alpaca/en/alpaca_data.json")
    assert (file.name, file.path) == ("alpaca", tmp_path / "cache/data/alpaca/en/alpaca_data.json")
    with pytest.raises(Offline, match="alpaca-chinese"):
        fetched(DataFolder(offline=True), "alpaca/zh/alpaca-chinese-52k-v3.json")


def test_the_shared_folder_is_read_whole(shared: Path) -> None:
    found = training_files(DataFolder(shared / "data"))
    counts = {file.file: sum(1 for _ in file.documents()) for file in found.files if file.file.startswith("c4/")}
    assert counts == {
        "c4/csci662/c4_sample.json": 200, "c4/derived/c4_en_docs.jsonl": 1900, "c4/exllamav3/c4.utf8": 22,
        "c4/llamafactory/c4_demo.jsonl": 300, "c4/maxtext/hf/c4-train-00000-of-01637.parquet": 200,
        "c4/maxtext/hf/c4-validation-00000-of-01637.parquet": 40, "c4/olmo/c4-sample.01.json": 10,
        "c4/olmo/c4-sample.02.json": 10, "c4/olmo/c4-sample.03.json": 10,
    }  # fmt: skip
    assert {"c4/pf-decoding/c4.jsonl", "c4/graphmark/c4.json", "c4/gumbelsoft/c4_ref.json"} <= set(found.skipped)
    pieces = training_files(DataFolder(shared / "data"), ["c4/pf-decoding/c4.jsonl"], ("prefix", "gold_completion"))
    assert sum(1 for _ in pieces.files[0].documents()) == 1480
