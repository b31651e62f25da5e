"""The corpus: every document in its place, what is dropped counted, the same bytes however it is made."""

from __future__ import annotations

import errno
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgelm.chat import ask
from edgelm.data import hub
from edgelm.data.documents import Document
from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.data.text_files import TextFile
from edgelm.errors import BadFile, BadOption, MissingInput, NoSpace, Offline
from edgelm.files import sha256_bytes, tree_files
from edgelm.plugins import parse
from edgelm.train.base import Work
from edgelm.train.corpus import OVERLAPS, Corpus
from edgelm.train.rows.shards import INDEX, Shards, read_index
from edgelm.train.text.cleaning import digest
from edgelm.train.tokenizer import Tokenizer, load

QUIZ = "When the old lighthouse keeper counted his seven grey gulls at dawn he found that four had flown away"
ALPACA = {"instruction": "Name a colour.", "input": "", "output": "Blue."}


def sentence(number: int, words: int = 12) -> str:
    """A text like no other."""
    letters = str.maketrans("0123456789", "abcdefghij")
    return " ".join(f"w{number}x{place}" for place in range(words)).translate(letters)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokenizer")
    documents = [Document(sentence(number)) for number in range(90)] + [Document("守株待兔", "Why?")]
    Tokenizer(vocab=320).run(Work(out, DataFolder(offline=True)), lambda: iter(documents))
    return out / "work" / "tokenizer"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder: C4 in two files, Alpaca in two languages, and a test row of a benchmark."""
    c4 = [sentence(number) for number in range(300)]
    put(tmp_path, "c4/a.jsonl", *({"text": text} for text in c4[:200]))
    put(tmp_path, "c4/b.jsonl", *({"text": text} for text in c4[200:]))
    put(tmp_path, "alpaca/en/mine.jsonl", *({"instruction": f"{n}?", "output": sentence(n + 1000)} for n in range(50)))
    put(tmp_path, "alpaca/zh/mine.jsonl", *({"instruction": f"问{n}", "output": f"答{n}"} for n in range(50)))
    put(tmp_path, "gsm8k/test.jsonl", {"question": QUIZ, "answer": "3 #### 3"})
    put(tmp_path, "suite.json", {"name": "own-1", "files": {
        "gsm8k/test.jsonl": sha256_bytes((tmp_path / "data/gsm8k/test.jsonl").read_bytes()),
    }})  # fmt: skip
    return tmp_path / "data"


@pytest.fixture
def make(tmp_path: Path, data: Path, tokenizer: Path) -> Callable[..., dict[str, Any]]:
    """`make(c4=100)`: run the step in a fresh output folder; its index, and the folder in `folder`."""
    made: list[Path] = []

    def run(workers: int = 1, **options: Any) -> dict[str, Any]:
        made.append(tmp_path / f"out-{len(made)}")
        work = at(made[-1], data, tokenizer, workers)
        done = Corpus(**options).run(work)
        index = read_index(work.folder("corpus"))
        assert {key: index[key] for key in done if key != "step"} == {key: done[key] for key in done if key != "step"}
        return index | {"folder": work.folder("corpus")}

    return run


def at(out: Path, data: Path, tokenizer: Path, workers: int = 1, **options: Any) -> Work:
    (out / "work").mkdir(parents=True, exist_ok=True)
    if not (out / "work" / "tokenizer").exists():
        (out / "work" / "tokenizer").symlink_to(tokenizer)
    return Work(out, DataFolder(data, offline=True), workers=workers, **options)


def put(root: Path, name: str, *rows: Any) -> None:
    path = root / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def stored(index: dict[str, Any], tokenizer: Path, part: Any = "train") -> list[str]:
    """Every document of a part as text, marks included."""
    shards, decode = Shards(index["folder"], part), load(tokenizer).decode
    shards.verify()
    return [decode(shards.read(n, 0, int(shards.lengths[n]))) for n in range(shards.documents)]


def dropped(index: dict[str, Any], file: str) -> dict[str, int]:
    (source,) = (each for each in index["sources"] if each["file"] == file)
    return {reason: count for reason, count in source["dropped"].items() if count}


def everything(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tree_files(folder)}


def test_documents_are_stored_as_the_evaluation_will_show_them(
    tmp_path: Path, make: Any, data: Path, tokenizer: Path
) -> None:
    put(tmp_path, "c4/a.jsonl", {"text": "Plain <|eos|> text."})
    put(tmp_path, "c4/b.jsonl", {"text": "天地"})
    put(tmp_path, "alpaca/en/mine.jsonl", {"instruction": "Add.", "input": "1 + 1", "output": "2<|im_end|>"})
    index = make(alpaca=("en",), held_out=0)
    shards, chat = Shards(index["folder"]), load(tokenizer)
    assert stored(index, tokenizer)[:2] == ["<|bos|>Plain <|eos|> text.<|eos|>", "<|bos|>天地<|eos|>"]
    assert (shards.given.tolist()[:2], shards.chat.tolist()) == ([1, 1], [False, False, True])
    first = shards.read(0, 0, int(shards.lengths[0])).tolist()
    assert (first[0], first[-1]) == (chat.bos_token_id, chat.eos_token_id)
    assert chat.eos_token_id not in first[1:-1]  # what a document spells out is no mark
    prompt = chat.apply_chat_template(ask("Add.\n1 + 1").messages(), add_generation_prompt=True)
    ids = shards.read(2, 0, int(shards.lengths[2])).tolist()
    given = int(shards.given[2])
    assert ids[:given] == list(prompt["input_ids"] if hasattr(prompt, "keys") else prompt)
    end = chat.convert_tokens_to_ids("<|im_end|>")
    assert (ids[-1], ids[given:].count(end), chat.decode(ids[given:])) == (end, 1, "2<|im_end|><|im_end|>")
    assert [shards.sources[number]["file"] for number in shards.source] == [
        "c4/a.jsonl", "c4/b.jsonl", "alpaca/en/mine.jsonl",
    ]  # fmt: skip


def test_the_index_counts_all_that_was_read(make: Any, tokenizer: Path) -> None:
    index = make(held_out=0.1)
    train, held = Shards(index["folder"]), Shards(index["folder"], "held")
    assert index["vocab"] == 320 and index["tokenizer"] == sha256_bytes((tokenizer / "tokenizer.json").read_bytes())
    assert [source["name"] for source in index["sources"]] == ["c4", "c4", "alpaca", "alpaca-zh"]
    for number, source in enumerate(index["sources"]):
        for shards, before in ((train, ""), (held, "held_")):
            own = shards.source == number
            assert source[f"{before}documents"] == own.sum()
            assert source[f"{before}tokens"] == shards.lengths[own].sum()
        assert source["bytes"] > 0 and source["held_bytes"] >= 0 and len(source["sha256"]) == 64
    assert sum(source["documents"] + source["held_documents"] for source in index["sources"]) == 400
    c4 = sum(len(sentence(number)) for number in range(300))
    assert sum(source["bytes"] + source["held_bytes"] for source in index["sources"][:2]) == c4


def test_what_is_unsound_or_said_twice_is_dropped_and_counted(tmp_path: Path, make: Any, tokenizer: Path) -> None:
    rows = [{"text": text} for text in ("Good.", "", "  ", "a\x00", "��", "GOOD.", sentence(0), "New.")]
    put(tmp_path, "c4/b.jsonl", *rows)
    put(tmp_path, "alpaca/en/mine.jsonl", ALPACA, ALPACA | {"output": ""}, ALPACA, ALPACA | {"input": "Which?"})
    index = make(alpaca=("en",), held_out=0)
    assert dropped(index, "c4/b.jsonl") == {"empty": 2, "invalid": 2, "duplicate": 2}
    assert dropped(index, "alpaca/en/mine.jsonl") == {"empty": 1, "duplicate": 1}
    assert stored(index, tokenizer)[200:202] == ["<|bos|>Good.<|eos|>", "<|bos|>New.<|eos|>"]


def test_near_duplicates_are_dropped_if_asked(tmp_path: Path, make: Any) -> None:
    text = sentence(0, words=100)
    put(tmp_path, "c4/b.jsonl", {"text": text}, {"text": text + " end"}, {"text": sentence(1, words=100)})
    assert dropped(make(), "c4/b.jsonl") == {}
    assert dropped(make(near=True), "c4/b.jsonl") == {"near": 1}


def test_benchmarks_are_kept_out_or_only_reported(tmp_path: Path, make: Any, tokenizer: Path) -> None:
    put(tmp_path, "c4/b.jsonl", {"text": "Before. " + QUIZ.upper()}, {"text": "Nothing of the kind."})
    put(tmp_path, "alpaca/en/mine.jsonl", ALPACA | {"instruction": QUIZ}, ALPACA)
    index = make(held_out=0)
    assert dropped(index, "c4/b.jsonl") == dropped(index, "alpaca/en/mine.jsonl") == {"overlap": 1}
    assert not any("seven grey gulls" in text.lower() for text in stored(index, tokenizer))
    assert (index["overlap"]["mode"], index["overlap"]["documents"]) == ("drop", 2)
    assert index["overlap"]["benchmarks"]["gsm8k"]["touched"] == 1
    lines = [json.loads(line) for line in (index["folder"] / OVERLAPS).read_text().splitlines()]
    assert [(line["file"], line["document"], line["benchmark"]) for line in lines] == [
        ("c4/b.jsonl", 0, "gsm8k"), ("alpaca/en/mine.jsonl", 0, "gsm8k"),
    ]  # fmt: skip
    reported = make(held_out=0, overlap="report")
    assert dropped(reported, "c4/b.jsonl") == {}
    assert (reported["overlap"]["mode"], reported["overlap"]["documents"]) == ("report", 2)
    assert (reported["folder"] / OVERLAPS).read_bytes() == (index["folder"] / OVERLAPS).read_bytes()


def test_held_out_documents_follow_from_their_digests_alone(
    tmp_path: Path, make: Any, data: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {f"<|bos|>{sentence(n)}<|eos|>" for n in range(300) if digest(Document(sentence(n))) < 0.2 * 2**64}
    index = make(held_out=0.2, alpaca=("none",))
    assert set(stored(index, tokenizer, "held")) == expected and 30 < len(expected) < 90
    assert not expected & set(stored(index, tokenizer))
    documents = {document.text for document in Corpus(held_out=0.2).documents(at(tmp_path / "x", data, tokenizer))}
    assert len(documents) > 200 and not {f"<|bos|>{text}<|eos|>" for text in documents} & expected
    (data / "c4/b.jsonl").rename(data / "c4/0.jsonl")  # read first
    assert set(stored(make(held_out=0.2, alpaca=("none",)), tokenizer, "held")) == expected
    monkeypatch.setattr("edgelm.train.text.judging.MOST_HELD", 5)
    index = make(held_out=0.2)
    assert [source["held_documents"] for source in index["sources"]] == [5, 0, 5, 5]
    assert make(held_out=0)["held"] == []


def test_the_bytes_do_not_depend_on_the_number_of_workers(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgelm.train.text.preparing.DOCUMENTS", 17)
    for options in ({"held_out": 0.05}, {"c4": 3000}, {"files": ("c4/b.jsonl", "c4/a.jsonl"), "near": True}):
        one, two = make(1, **options), make(2, **options)
        assert everything(one["folder"]) == everything(two["folder"])


def test_c4_is_read_as_far_as_it_is_wanted(make: Any, tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(held_out=0, alpaca=("none",))
    lengths = Shards(whole["folder"]).lengths
    for documents in (1, 150, 200, 201, 300):
        wanted = int(lengths[:documents].sum())
        for tokens, expected in ((wanted, documents), (wanted - 1, documents)):
            index = make(c4=tokens, held_out=0, alpaca=("en",))
            read = [source["documents"] for source in index["sources"]]
            assert sum(read[:-1]) == expected and read[-1] == 50
            assert len(read) == (2 if documents <= 200 else 3)
            assert index["sources"][0]["sha256"] == whole["sources"][0]["sha256"]  # of the file, whole or not
    with pytest.raises(Offline, match=r"not enough of c4 here(?s:.*)below c4/"):
        make(c4=int(lengths.sum()) + 1, held_out=0)


def test_c4_is_streamed_where_files_fall_short(
    tmp_path: Path, data: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rows:
        def __iter__(self) -> Iterator[Any]:
            return ({"text": sentence(number)} for number in range(290, 400))

        def state_dict(self) -> dict[str, Any]:
            return {}

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "load", lambda files: Rows())
    here = at(tmp_path / "here", data, tokenizer)
    files = Corpus(held_out=0, alpaca=("none",)).run(here)["sources"]
    wanted = sum(source["tokens"] for source in files) + 2000
    indices = []
    for workers in (1, 2):
        work = at(tmp_path / f"w{workers}", data, tokenizer, workers)
        work.data = DataFolder(data)
        Corpus(c4=wanted, held_out=0, alpaca=("none",), download=True).run(work)
        indices.append(read_index(work.folder("corpus")))
    assert indices[0] == indices[1]
    streamed = indices[0]["sources"][-1]
    assert streamed["file"].startswith("hub:allenai/c4@1588ec454efa/en/")
    assert streamed["known"] and streamed["dropped"]["duplicate"] == 10
    read = range(290, 300 + streamed["documents"])
    assert 300 + streamed["documents"] < 400
    texts = b"".join(sentence(number).encode() + b"\0" for number in read)
    assert streamed["sha256"] == hashlib.sha256(texts).hexdigest()
    assert 0 <= sum(source["tokens"] for source in indices[0]["sources"]) - wanted < 100


def test_what_is_read_by_default_and_on_request(tmp_path: Path, make: Any, data: Path) -> None:
    put(tmp_path, "c4/zh/a.jsonl", {"text": "天地玄黄"})
    put(tmp_path, "c4/pieces.jsonl", {"prefix": "It was", "rest": "late."})
    put(tmp_path, "own/a.jsonl", {"text": "Something else."})

    def names(**options: Any) -> list[str]:
        return [source["name"] for source in make(held_out=0, **options)["sources"]]

    assert names() == ["c4", "c4", "alpaca", "alpaca-zh"]
    assert names(alpaca=("none",)) == names(alpaca=()) == ["c4", "c4"]
    assert names(alpaca=("zh",), c4zh=0) == ["c4", "c4", "c4-zh", "alpaca-zh"]
    assert names(columns=("prefix", "rest"), alpaca=()) == ["c4", "c4", "c4"]
    assert names(files=("alpaca/zh/mine.jsonl", "c4/b.jsonl")) == ["c4", "alpaca-zh"]
    assert names(files=("own/a.jsonl",), other=True) == ["a.jsonl"]
    with pytest.raises(BadOption, match=r"own/a\.jsonl is neither C4 nor Alpaca\n(?s:.*)corpus:other=true"):
        make(files=("own/a.jsonl",))
    skipped = make()["skipped"]
    assert "corpus:c4zh=0" in skipped["c4/zh/a.jsonl"] and "prefix+rest" in skipped["c4/pieces.jsonl"]
    (data / "c4/zh/a.jsonl").unlink()
    with pytest.raises(MissingInput, match="no C4 in Chinese"):
        make(c4zh=0)


def test_only_pinned_data_is_allowed(shared: Path, tmp_path: Path, tokenizer: Path) -> None:
    def allowed(data: Path, **options: Any) -> bool:
        work = at(tmp_path / f"o{time.monotonic_ns()}", data, tokenizer)
        index = Corpus(**options).run(work)
        assert index["data_allowed"] == read_index(work.folder("corpus"))["data_allowed"]
        return bool(index["data_allowed"])

    pinned = "c4/llamafactory/c4_demo.jsonl"
    put(tmp_path, "own/a.jsonl", {"text": "Something else."})
    (tmp_path / "data" / "c4" / "llamafactory").mkdir(parents=True)
    (tmp_path / "data" / f"{pinned}.gz").write_bytes((shared / "data" / f"{pinned}.gz").read_bytes())
    assert allowed(tmp_path / "data")
    assert not allowed(tmp_path / "data", files=(pinned, "own/a.jsonl"), other=True)
    put(tmp_path, "c4/unpinned.jsonl", {"text": "It only says that it is C4."})
    assert not allowed(tmp_path / "data")
    assert allowed(tmp_path / "data", files=(pinned,))
    listed = {"c4/unpinned.jsonl": sha256_bytes((tmp_path / "data/c4/unpinned.jsonl").read_bytes())}
    put(tmp_path, "suite.json", {"name": "own-1", "files": listed})  # what somebody wrote down is no pin of ours
    assert not allowed(tmp_path / "data")
    write(tmp_path / "mini", rows=5, train_rows=200)
    assert allowed(tmp_path / "mini")


def test_the_miniature_keeps_its_repetitions(tmp_path: Path, tokenizer: Path) -> None:
    write(tmp_path / "mini", rows=5, train_rows=1000)
    work = at(tmp_path / "out", tmp_path / "mini", tokenizer)
    sources = Corpus().run(work)["sources"]
    assert all(not any(source["dropped"].values()) for source in sources)
    assert sum(source["documents"] + source["held_documents"] for source in sources) > 1000


def test_the_tokenizer_is_shown_what_will_be_trained_on(tmp_path: Path, data: Path, make: Any, tokenizer: Path) -> None:
    work = at(tmp_path / "out", data, tokenizer)
    shown = list(Corpus(held_out=0.1).documents(work))
    index = make(held_out=0.1)
    assert [f"<|bos|>{each.text}<|eos|>" if each.question is None else each.text + "<|im_end|>" for each in shown] == [
        text.rpartition("assistant\n")[2] for text in stored(index, tokenizer)
    ]  # fmt: skip
    some = list(Corpus(held_out=0.1).documents(work, most=1000))
    assert 1000 <= sum(len(each.text) for each in some if each.question is None) < 1200
    c4 = [each for each in Corpus(c4=500).documents(work) if each.question is None]
    assert 2000 <= sum(len(each.text) for each in c4) < 2200  # four bytes a token
    everything = [each for each in Corpus(c4=10**9).documents(work) if each.question is None]
    assert len(everything) > 250  # how much is missing shows only with a tokenizer
    assert not (tmp_path / "out/work/corpus").exists()


@pytest.mark.parametrize(("name", "content", "options", "error", "said"), [
    ("c4/b.jsonl", b"", {}, MissingInput, r"c4/b\.jsonl holds no text"),
    ("c4/b.txt", b"good\n\xff", {}, BadFile, r"line 2 of .*c4/b\.txt is no text"),
    ("c4/b.jsonl", b'{"text": "a"}\n{"text"', {}, BadFile, "line 2 of"),
    ("c4/b.jsonl", b'{"text": "a"}\n{"prefix": "b"}', {}, MissingInput, r"line 2 of(?s:.*)corpus:columns=prefix"),
    ("c4/b.jsonl", b'{"text": "a"}', {"columns": ("typo",)}, MissingInput, "no file has the columns typo"),
    ("c4/b.jsonl", b'{"text": "a"}', {"files": ("c4/c.jsonl",)}, MissingInput, r"lacks c4/c\.jsonl"),
    ("own/b.jsonl", b'{"text": " "}', {"files": ("own/b.jsonl",), "other": True}, MissingInput,
     r"no document to train on\nwhy: 1 empty"),
    ("c4/b.jsonl", b'{"text": "a"}', {"c4": 10**9}, Offline, "not enough of c4"),
])  # fmt: skip
def test_faults_are_named_and_leave_nothing_behind(
    tmp_path: Path, data: Path, tokenizer: Path, name: str, content: bytes, options: dict[str, Any],
    error: type[Exception], said: str,
) -> None:  # fmt: skip
    (data / name).parent.mkdir(exist_ok=True)
    (data / name).write_bytes(content)
    work = at(tmp_path / "out", data, tokenizer)
    with pytest.raises(error, match=said) as caught:
        Corpus(**options).run(work)
    assert type(caught.value) is error and caught.value.mend  # type: ignore[attr-defined]
    assert [path.name for path in (tmp_path / "out/work").iterdir()] == ["tokenizer"]


def test_a_fault_is_named_once_it_is_reached_by_however_many_workers(
    tmp_path: Path, data: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgelm.train.text.preparing.DOCUMENTS", 9)
    (data / "c4/b.jsonl").write_bytes(b'{"text": "a"}\n{"text"')
    for workers in (1, 2):
        with pytest.raises(BadFile, match="line 2 of"):
            Corpus().run(at(tmp_path / f"bad-{workers}", data, tokenizer, workers))
        done = Corpus(c4=5000).run(at(tmp_path / f"good-{workers}", data, tokenizer, workers))  # it is not reached
        assert [source["file"] for source in done["sources"]][1] == "alpaca/en/mine.jsonl"


def test_without_training_text_or_tokenizer_it_is_said(tmp_path: Path, data: Path, tokenizer: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInput, match="holds no training data"):
        Corpus().run(at(tmp_path / "a", tmp_path / "empty", tokenizer))
    with pytest.raises(MissingInput, match=r"tokenizer\.json"):
        Corpus().run(Work(tmp_path / "b", DataFolder(data)))


def test_a_full_disk_is_said_and_leaves_nothing(
    tmp_path: Path, data: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("edgelm.train.rows.shards._Hashed.write", refuse)
    with pytest.raises(NoSpace):
        Corpus().run(at(tmp_path / "out", data, tokenizer))
    assert [path.name for path in (tmp_path / "out/work").iterdir()] == ["tokenizer"]


def test_a_corpus_of_other_settings_is_replaced_and_other_things_are_not(
    tmp_path: Path, data: Path, tokenizer: Path
) -> None:
    work = at(tmp_path / "out", data, tokenizer)
    Corpus().run(work)
    Corpus(alpaca=("none",)).run(work)
    assert [source["name"] for source in read_index(work.folder("corpus"))["sources"]] == ["c4", "c4"]
    (work.folder("corpus") / INDEX).rename(work.folder("corpus") / "mine.txt")
    with pytest.raises(BadOption, match="exists already"):
        Corpus().run(work)


KILLED = """
import sys
from pathlib import Path
import edgelm.train.text.preparing
from edgelm.data.folder import DataFolder
from edgelm.train.base import Work
from edgelm.train.corpus import Corpus
edgelm.train.text.preparing.DOCUMENTS = 5

def told(what, done, of):
    print(done, flush=True)
    sys.stdin.readline()

Corpus().run(Work(Path(sys.argv[1]), DataFolder(Path(sys.argv[2])), progress=told))
"""


def test_killed_at_any_time_it_begins_anew(tmp_path: Path, data: Path, tokenizer: Path, make: Any) -> None:
    work = at(tmp_path / "killed", data, tokenizer)
    for steps in (1, 9, 40):
        command = [sys.executable, "-c", KILLED, str(work.out), str(data)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None and process.stdout is not None
        for _ in range(steps):
            assert process.stdout.readline()
            process.stdin.write("\n")
            process.stdin.flush()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert not work.folder("corpus").exists()
    Corpus().run(work)
    assert everything(work.folder("corpus")) == everything(make()["folder"])
    assert sorted(path.name for path in (work.out / "work").iterdir()) == ["corpus", "tokenizer"]


def test_progress_and_what_is_not_read_are_told(tmp_path: Path, data: Path, tokenizer: Path) -> None:
    put(tmp_path, "c4/pieces.jsonl", {"prefix": "It was", "rest": "late."})
    told: list[tuple[str, int, int]] = []
    notes: list[str] = []
    work = at(tmp_path / "out", data, tokenizer, progress=lambda *seen: told.append(seen), note=notes.append)
    Corpus().run(work)
    assert {what for what, _, _ in told} == {"corpus"} and len({of for _, _, of in told}) == 1
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    assert 0 < told[-1][1] <= told[-1][2]
    assert any("c4/pieces.jsonl: not read" in note for note in notes)


def test_options_are_read_and_checked() -> None:
    assert parse("train", "corpus:c4=2.5B,alpaca=en+zh,c4zh=100M") == Corpus(2_500_000_000, 100_000_000)
    assert parse("train", "corpus:alpaca=none,near=true,overlap=report").alpaca == ("none",)
    for spec, said in (
        ("corpus:c4=-1", "c4=-1"), ("corpus:c4zh=-1", "c4zh=-1"), ("corpus:alpaca=fr", "alpaca=fr"),
        ("corpus:alpaca=none+en", "none"), ("corpus:held_out=0.6", "held_out"), ("corpus:overlap=keep", "keep"),
    ):  # fmt: skip
        with pytest.raises(BadOption, match=said):
            parse("train", spec)


def test_every_source_has_the_digest_of_its_file(make: Any, data: Path) -> None:
    index = make()
    for source in index["sources"]:
        file = TextFile(data / source["file"], source["file"], ("", ""))
        assert source["sha256"] == file.sha256
