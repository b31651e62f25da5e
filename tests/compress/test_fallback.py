from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.checkpoint import Checkpoint
from edgelm.compress.depth import Depth
from edgelm.compress.fallback import built_in, find_texts, size_of_texts, without_benchmarks
from edgelm.compress.run import compress
from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.data.texts import Document, TextSource
from edgelm.errors import BadFile, MissingInput
from edgelm.train.overlap.index import OverlapIndex
from edgelm.train.overlap.items import Item

QUESTION = "A farmer has seventeen sheep and four hens; how many legs do all of these animals have together?"
INDEX = OverlapIndex([Item("gsm8k", "gsm8k/test.jsonl:1", (QUESTION,), ())])


def test_files_before_folder_before_built_in(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Mine.")
    (tmp_path / "c4").mkdir()
    (tmp_path / "c4" / "rows.jsonl").write_text('{"text": "Row."}')
    (tmp_path / "empty").mkdir()
    data = DataFolder(tmp_path)
    assert [text.name for text in find_texts([tmp_path / "mine.txt"], data)] == ["mine.txt"]
    assert [text.name for text in find_texts([], data)] == ["c4"]
    assert find_texts([], DataFolder(tmp_path / "empty")) == [built_in()]


def test_the_size_of_texts_is_known_before_they_are_read(tmp_path: Path) -> None:
    row = json.dumps({"text": "A fox’s dogs bark. " * 99}, ensure_ascii=False) + "\n"
    (tmp_path / "mine.jsonl").write_text(2000 * row, encoding="utf-8")
    (tmp_path / "c4").mkdir()
    (tmp_path / "c4" / "a.jsonl.gz").write_bytes(gzip.compress(row.encode()))
    data = DataFolder(tmp_path)
    said = size_of_texts([tmp_path / "mine.jsonl"], data)
    (text,) = find_texts([tmp_path / "mine.jsonl"], data)
    assert (tmp_path / "mine.jsonl").stat().st_size < text.resident <= said < 2 * text.resident
    assert size_of_texts([], data) == 6 * (tmp_path / "c4" / "a.jsonl.gz").stat().st_size
    assert size_of_texts([tmp_path / "none"], data) == size_of_texts([], DataFolder(None)) == 0


def test_the_built_in_text_is_some_documents_of_our_own() -> None:
    assert len(built_in().documents) > 10
    assert built_in().licence == "Apache-2.0"


def test_rows_of_benchmarks_are_left_out() -> None:
    rows = [Document("Dogs bark."), Document("It has 76.", f"Please solve this. {QUESTION}"), Document("Foxes do not.")]
    other = TextSource("b", [Document("Nothing of the kind."), Document(QUESTION.upper())], "")
    first, second = without_benchmarks([TextSource("a", rows, ""), other], INDEX)
    assert first.documents == [rows[0], rows[2]]
    assert second.documents == other.documents[:1]
    assert first.overlap == second.overlap
    assert first.overlap is not None
    assert first.overlap["documents"] == 2
    assert first.overlap["benchmarks"]["gsm8k"]["documents"] == 2
    assert first.overlap["index"] == INDEX.digest


def test_what_nobody_can_search_for_is_not_called_searched() -> None:
    text = TextSource("a", [Document(QUESTION)], "")
    assert without_benchmarks([text], OverlapIndex([])) == [text]
    assert text.overlap is None


def test_text_of_benchmarks_alone_is_refused() -> None:
    with pytest.raises(MissingInput, match="nothing of the text a is left"):
        without_benchmarks([TextSource("a", [Document(QUESTION)], "")], INDEX)


def test_a_data_folder_is_searched_by_its_own_benchmarks(tmp_path: Path) -> None:
    write(tmp_path, rows=20, train_rows=60)
    data = DataFolder(tmp_path)
    asked = next(row["question"] for row in data.jsonl("gsm8k/test.jsonl") if len(row["question"].split()) > 13)
    leak = tmp_path / "leak.jsonl"
    leak.write_text(json.dumps({"text": "Dogs bark."}) + "\n" + json.dumps({"text": asked}))
    (text,) = find_texts([leak], data)
    assert text.documents == [Document("Dogs bark.")]
    assert not text.known
    assert all(text.known and text.allowed and text.overlap for text in find_texts([], data))


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    """Write rows of columns as a parquet file."""
    pyarrow = pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    from pyarrow.parquet import write_table

    def make(name: str, **columns: list[str]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(pyarrow.table(columns), path)
        return path

    return make


def test_parquet_is_read_and_calibrated_on(
    parquet: Callable[..., Path], make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    texts = [f"The square of {n} is {n * n}; its cube is {n**3}. Next!" for n in range(60)]
    path = parquet("data/c4/part.parquet", text=texts, url=["u"] * 60)
    parquet("data/alpaca/part.parquet", instruction=["Say it."] * 60, input=[""] * 60, output=texts)
    c4, alpaca = find_texts([], DataFolder(tmp_path / "data"))
    assert (c4.name, alpaca.name) == ("c4", "alpaca")
    assert c4.documents == [Document(text) for text in texts]
    assert alpaca.documents[7] == Document(texts[7], "Say it.")
    zipped = path.with_name("part.parquet.gz")
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert find_texts([zipped], DataFolder())[0].documents == c4.documents
    base = Checkpoint(make_checkpoint("llama"))
    made = compress(base, [Depth(1)], tmp_path / "out", texts=[c4, alpaca], tokens=600, sequence=48)
    card: dict[str, Any] = json.loads((made.path / "card.json").read_text())
    assert [source["name"] for source in card["data"]] == ["c4", "alpaca"]
    assert card["data_allowed"] is False  # nobody has pinned these bytes
    assert card["calibration"]["overlap"] is None
    assert any("not searched" in warning for warning in card["warnings"])


def test_damaged_parquet_is_refused(parquet: Callable[..., Path]) -> None:
    path = parquet("damaged.parquet", text=["One.", "Two."])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadFile, match=r"damaged\.parquet is no sound parquet"):
        find_texts([path], DataFolder())


def test_the_card_says_whether_all_data_is_allowed(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    documents = [Document(f"The square of {n} is {n * n}; its cube is {n**3}. Next!") for n in range(60)]
    pinned = TextSource("miniature", documents, "", known=True)
    base = Checkpoint(make_checkpoint("llama"))
    first = compress(base, [Depth(1)], tmp_path / "first", texts=[pinned], tokens=600, sequence=48)
    assert first.card.model_extra is not None
    assert first.card.model_extra["data_allowed"] is True
    other = TextSource("mine.txt", documents, "")
    second = compress(first, [], tmp_path / "second", texts=[other], tokens=600, sequence=48)
    third = compress(second, [], tmp_path / "third", texts=[pinned], tokens=600, sequence=48)
    for later in (second, third):  # what a model has once seen stays seen
        assert later.card.model_extra is not None
        assert later.card.model_extra["data_allowed"] is False
