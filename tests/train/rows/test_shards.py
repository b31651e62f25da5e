"""Tokenised documents on disk: what was written is read, and whatever was changed since is refused by name."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgelm.errors import BadFile, BadOption, MissingInput, NoSpace
from edgelm.train.rows.shards import INDEX, Shards, ShardWriter, read_index, token_type, write_index

DOCUMENTS = [[5, 6, 7], [8], list(range(90)), [1, 2], [99] * 30, []]


def store(folder: Path, documents: Sequence[Sequence[int]] = DOCUMENTS, vocab: int = 100, largest: int = 200) -> Shards:
    with ShardWriter(folder, "train", vocab, largest) as writer, ShardWriter(folder, "held", vocab) as held:
        for number, ids in enumerate(documents):
            writer.add(ids, given=number + 1, source=number % 3, chat=number % 2 == 1)
        held.add([3, 4])
        entries: dict[str, Any] = {"train": writer.close(), "held": held.close()}
    write_index(folder, {"tokenizer": "abc", "vocab": vocab, "sources": [{"name": "c4"}], **entries})
    return Shards(folder)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    shards = store(tmp_path)
    assert [shards.read(number, 0, len(ids)).tolist() for number, ids in enumerate(DOCUMENTS)] == DOCUMENTS
    assert shards.read(2, 10, 3).tolist() == [10, 11, 12]
    assert shards.lengths.tolist() == [3, 1, 90, 2, 30, 0]
    assert shards.given.tolist() == [1, 2, 3, 4, 5, 6]
    assert shards.source.tolist() == [0, 1, 2, 0, 1, 2]
    assert shards.chat.tolist() == [False, True] * 3
    assert (shards.documents, shards.tokens, shards.vocab, shards.dtype.name) == (6, 126, 100, "uint16")
    assert shards.sources == [{"name": "c4"}]
    assert Shards(tmp_path, "held").read(0, 0, 2).tolist() == [3, 4]
    shards.verify()


def test_a_file_is_no_larger_than_it_may_be_and_documents_stay_whole(tmp_path: Path) -> None:
    store(tmp_path)
    assert {path.name: path.stat().st_size for path in tmp_path.glob("train-*.bin")} == {
        "train-00000.bin": 2 * (3 + 1 + 90 + 2), "train-00001.bin": 2 * 30,
    }  # fmt: skip
    index = read_index(tmp_path)
    assert [(entry["file"], entry["tokens"], entry["documents"]) for entry in index["train"]] == [
        ("train-00000", 96, 4), ("train-00001", 30, 2),
    ]  # fmt: skip


def test_a_document_larger_than_a_file_is_refused(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "train", 100, largest=20) as writer, pytest.raises(BadFile, match="11 tokens"):
        writer.add(range(11))


@pytest.mark.parametrize(
    ("vocab", "name"), [(1024, "uint16"), (65_536, "uint16"), (65_537, "uint32"), (151_646, "uint32")]
)
def test_tokens_take_two_bytes_while_they_fit(vocab: int, name: str, tmp_path: Path) -> None:
    assert token_type(vocab).name == name
    shards = store(tmp_path, [[0, vocab - 1]], vocab)
    assert shards.read(0, 0, 2).tolist() == [0, vocab - 1]
    assert read_index(tmp_path)["dtype"] == name


@pytest.mark.parametrize("wrong", [65_536, 1024, -1])
def test_a_token_beyond_the_vocabulary_is_refused(wrong: int, tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "train", 1024) as writer, pytest.raises(BadOption, match=f"{wrong:,} is none of"):
        writer.add([5, wrong])


def test_a_token_outside_its_document_is_not_read(tmp_path: Path) -> None:
    shards = store(tmp_path)
    for offset, length in ((0, 4), (-1, 2), (3, 1)):
        with pytest.raises(IndexError):
            shards.read(0, offset, length)


def test_equal_documents_give_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    one, same = store(tmp_path / "a"), store(tmp_path / "b")
    other = store(tmp_path / "c", [*DOCUMENTS[:4], [98] * 30, []])
    assert one.digest == same.digest != other.digest


def test_without_an_index_there_is_no_corpus(tmp_path: Path) -> None:
    store(tmp_path)
    (tmp_path / INDEX).unlink()
    with pytest.raises(MissingInput, match=r"index\.json"):
        Shards(tmp_path)


@pytest.mark.parametrize("name", ["train-00000.bin", "train-00001.idx"])
def test_a_missing_or_truncated_file_is_named_with_the_mend(name: str, tmp_path: Path) -> None:
    store(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadFile, match=rf"{name} is damaged\n(?s:.*)remove {tmp_path} and run again"):
        Shards(tmp_path)
    path.unlink()
    with pytest.raises(BadFile, match=rf"{name} is missing\n(?s:.*)remove {tmp_path} and run again"):
        Shards(tmp_path)


@pytest.mark.parametrize("name", ["train-00000.bin", "train-00001.idx"])
def test_other_bytes_of_the_same_size_are_found(name: str, tmp_path: Path) -> None:
    shards = store(tmp_path)
    content = bytearray((tmp_path / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFile, match=f"{name} is damaged"):
        shards.verify()


def test_files_of_two_corpora_do_not_mix(tmp_path: Path) -> None:
    store(tmp_path / "a")
    other = store(tmp_path / "b", [DOCUMENTS[2], *DOCUMENTS[:2], *DOCUMENTS[3:]])
    (tmp_path / "a/train-00000.idx").replace(tmp_path / "b/train-00000.idx")
    with pytest.raises(BadFile, match=r"train-00000\.idx is damaged"):
        other.verify()


def test_records_that_do_not_follow_one_another_are_refused(tmp_path: Path) -> None:
    shards = store(tmp_path)
    record = tmp_path / "train-00000.idx"
    record.write_bytes(record.read_bytes()[15:30] * 4)
    with pytest.raises(BadFile, match=r"train-00000\.idx is damaged"):
        _ = Shards(tmp_path).lengths
    assert shards.documents == 6


@pytest.mark.parametrize(
    "change", [{"vocab": "100"}, {"dtype": "uint32"}, {"train": [{}]}, {"held": None}, {"sources": 3}]
)
def test_an_index_that_is_none_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    store(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    (tmp_path / INDEX).write_text(json.dumps(index | change))
    with pytest.raises(BadFile, match=r"index\.json is damaged"):
        Shards(tmp_path)


def test_a_path_in_the_index_leads_nowhere_else(tmp_path: Path) -> None:
    store(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    index["train"][0]["file"] = "../train-00000"
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(BadFile, match=r"index\.json is damaged"):
        Shards(tmp_path)


def test_a_part_without_documents_is_empty(tmp_path: Path) -> None:
    shards = store(tmp_path, [])
    assert (shards.documents, shards.tokens, shards.lengths.tolist(), shards.chat.tolist()) == (0, 0, [], [])
    shards.verify()


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("edgelm.train.rows.shards.os.fsync", full)
    writer = ShardWriter(tmp_path, "train", 100)
    writer.add([1])
    with pytest.raises(NoSpace):
        writer.close()


def test_a_writer_that_failed_closes_its_files_and_hides_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), ShardWriter(tmp_path, "train", 100) as writer:
        writer.add([1])
        raise ZeroDivisionError
    assert writer.close() == []
