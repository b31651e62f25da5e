"""The tokenizer: every text comes back, specials are never met by accident, equal text gives equal bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from edgelm.data.documents import Document
from edgelm.data.folder import DataFolder
from edgelm.data.miniature import write
from edgelm.data.texts import from_folder
from edgelm.errors import BadFile, BadOption, MissingInput
from edgelm.files import sha256_bytes
from edgelm.plugins import parse, spec_of
from edgelm.train.base import Work
from edgelm.train.text.token_report import SAMPLES
from edgelm.train.tokenizer import SPECIALS, Tokenizer, core, digest, encode_ordinary, load, size

ENGLISH = Document(SAMPLES["english"])
CHINESE = Document(SAMPLES["chinese"])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("tokenizer")
    write(folder / "data", rows=5, train_rows=300)
    return Work(folder / "out", DataFolder(folder / "data"))


@pytest.fixture(scope="module")
def documents(work: Work) -> list[Document]:
    return [document for text in from_folder(work.data) for document in text.documents]


@pytest.fixture(scope="module")
def made(work: Work, documents: list[Document]) -> dict[str, Any]:
    return Tokenizer(vocab=512).run(work, lambda: iter(documents))


@pytest.fixture(scope="module")
def folder(work: Work, made: dict[str, Any]) -> Path:
    return work.folder("tokenizer")


@pytest.fixture(scope="module")
def trained(folder: Path) -> tokenizers.Tokenizer:
    return core(folder)


def test_specials_come_first_then_all_bytes(trained: tokenizers.Tokenizer, made: dict[str, Any]) -> None:
    assert [trained.id_to_token(number) for number in range(5)] == list(SPECIALS)
    assert {trained.id_to_token(number) for number in range(5, 261)} == set(pre_tokenizers.ByteLevel.alphabet())
    assert size(trained) == trained.get_vocab_size() == made["vocab"] == 512


@settings(max_examples=60, deadline=None)
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")) | st.text("的一是👩‍🚀🍌\u3000 \n\t\r0"))
def test_every_text_comes_back(trained: tokenizers.Tokenizer, text: str) -> None:
    for ids in (trained.encode(text).ids, encode_ordinary(trained, [text])[0].tolist()):
        assert trained.decode(ids, skip_special_tokens=False) == text
        assert set(ids) <= set(range(512))


@settings(deadline=None)
@given(st.text("ab <|im_endstar>\n"), st.sampled_from(SPECIALS))
def test_specials_are_whole_in_a_template_and_no_specials_in_text(
    trained: tokenizers.Tokenizer, text: str, special: str
) -> None:
    number = SPECIALS.index(special)
    ids = trained.encode(f"{text}{special}{text}").ids
    assert ids == [*trained.encode(text).ids, number, *trained.encode(text).ids]
    (plain,) = encode_ordinary(trained, [f"{text}{special}{text}"])
    assert plain.dtype == np.uint32
    assert not set(plain.tolist()) & set(range(5))
    assert trained.decode(plain.tolist(), skip_special_tokens=False) == f"{text}{special}{text}"


def test_encoding_as_ordinary_text_changes_nothing_else(trained: tokenizers.Tokenizer) -> None:
    texts = [*SAMPLES.values(), ""]
    assert [ids.tolist() for ids in encode_ordinary(trained, texts)] == [trained.encode(text).ids for text in texts]
    assert trained.encode("<|eos|>").ids == [1]


def test_plain_transformers_loads_the_two_files(folder: Path, trained: tokenizers.Tokenizer) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    for tokenizer in (AutoTokenizer.from_pretrained(folder), load(folder)):
        assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 1, 2)
        assert tokenizer.convert_tokens_to_ids(list(SPECIALS)) == [0, 1, 2, 3, 4]
        for text in [*SAMPLES.values(), "zß水🍌 1234 \n\n\tend , ."]:
            assert tokenizer(text).input_ids == trained.encode(text).ids
            assert tokenizer.decode(tokenizer(text).input_ids) == text
        messages = [{"role": "user", "content": "a"}]
        asked = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert asked == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert ids == trained.encode(asked).ids


_AGAIN = """
import sys
from pathlib import Path
from edgelm.data.folder import DataFolder
from edgelm.data.texts import from_folder
from edgelm.train.base import Work
from edgelm.train.tokenizer import Tokenizer
work = Work(Path(sys.argv[2]), DataFolder(Path(sys.argv[1])), workers=int(sys.argv[3]))
Tokenizer(vocab=512).run(work, lambda: (document for text in from_folder(work.data) for document in text.documents))
assert not {"torch", "transformers"} & set(sys.modules)
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_another_process_makes_the_same_bytes(work: Work, folder: Path, tmp_path: Path, threads: int) -> None:
    command = [sys.executable, "-c", _AGAIN, str(work.data.root), str(tmp_path), str(threads)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": str(threads)})
    assert digest(tmp_path / "work/tokenizer") == digest(folder)


def test_other_text_makes_another_tokenizer(work: Work, folder: Path, documents: list[Document]) -> None:
    other = Work(work.out / "other", work.data)
    Tokenizer(vocab=512).run(other, lambda: (Document(document.text.upper()) for document in documents))
    assert digest(other.folder("tokenizer")) != digest(folder)


def test_the_card_is_told_what_was_made(made: dict[str, Any], folder: Path) -> None:
    assert (made["step"], made["origin"], made["pre_tokenizer"]) == ("tokenizer", "trained", "qwen2")
    assert made["digest"] == digest(folder) == sha256_bytes((folder / "tokenizer.json").read_bytes())
    assert made["round_trip"] is True
    assert made["bytes_per_token"]["english"] > 1.4 > made["bytes_per_token"]["digits"] > 1
    assert made["words"] > 10
    assert 0 < made["hanzi"]["one_token"] < 1


def test_the_most_frequent_hanzi_are_looked_at(work: Work, tmp_path: Path) -> None:
    texts = [Document("的的的一一是" * 40), Document("的一" * 40)]
    seen = Tokenizer(vocab=320).run(Work(tmp_path, work.data), lambda: iter([*texts, ENGLISH, CHINESE]))
    assert seen["hanzi"]["looked_at"] == len(set("的一是" + SAMPLES["chinese"]) - set("，。"))
    assert core(tmp_path / "work/tokenizer").encode("的").ids == [core(tmp_path / "work/tokenizer").token_to_id("çļĦ")]


def test_text_that_is_too_little_is_said(work: Work, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"too few for 1024 tokens\n(?s:.*)vocab=\d+, or more data"):
        Tokenizer().run(Work(tmp_path, work.data), lambda: iter([ENGLISH]))
    assert not any(tmp_path.iterdir())


def test_progress_is_told_in_bytes(work: Work, documents: list[Document], tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    watched = Work(tmp_path, work.data, progress=lambda *seen: told.append(seen))
    Tokenizer(vocab=320, text=20_000).run(watched, lambda: iter(documents))
    counts = [done for _, done, _ in told]
    assert counts == sorted(counts) and 19_000 < counts[-1] <= 20_000
    assert {(what, of) for what, _, of in told} == {("tokenizer", 20_000)}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tokenizer: its own specials, one of ours as a common token, one token more before each text, short."""
    other = tokenizers.Tokenizer(models.BPE())
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "<|eos|>"], initial_alphabet=alphabet)
    other.train_from_iterator([SAMPLES["english"]], trainer)
    other.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    other.enable_truncation(7)
    path = tmp_path_factory.mktemp("foreign")
    other.save(str(path / "tokenizer.json"))
    return path


def test_another_tokenizer_gets_our_specials_and_nothing_else(foreign: Path, work: Work, tmp_path: Path) -> None:
    def none() -> Iterator[Document]:
        raise AssertionError("no document is needed")

    said = Tokenizer(path=foreign).run(Work(tmp_path, work.data), none)
    before, after = core(foreign), core(tmp_path / "work/tokenizer")
    before.no_truncation()
    assert after.encode(SAMPLES["english"]).ids == before.encode(SAMPLES["english"], add_special_tokens=False).ids
    assert {token: after.token_to_id(token) for token in before.get_vocab()} == before.get_vocab()
    assert sorted(after.encode("".join(SPECIALS)).ids) == [1, 300, 301, 302, 303]
    assert (said["vocab"], said["origin"]) == (304, "foreign")
    assert said["foreign_sha256"] == digest(foreign) != said["digest"] == digest(tmp_path / "work/tokenizer")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "work/tokenizer")
    assert (loaded.bos_token, loaded.eos_token_id, len(loaded)) == ("<|bos|>", 1, 304)
    assert loaded.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False).startswith("<|im_start|>user")


def test_a_published_tokenizer_reads_text_as_it_did(shared: Path, work: Work, tmp_path: Path) -> None:
    published = shared / "data/tokenizers/gpt2"
    said = Tokenizer(path=published).run(Work(tmp_path, work.data), lambda: iter(()))
    before, after = core(published), core(tmp_path / "work/tokenizer")
    before.no_truncation()
    for text in SAMPLES.values():
        assert after.encode(text).ids == before.encode(text).ids
    assert said["vocab"] == 50_257 + len(SPECIALS)
    assert said["round_trip"] is True and said["words"] > 20_000


def test_what_is_no_tokenizer_is_named(work: Work, tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=r"tokenizer\.json"):
        Tokenizer(path=tmp_path).run(work, lambda: iter(()))
    with pytest.raises(MissingInput, match=r"tokenizer\.json"):
        load(tmp_path)
    for content in (b"{", b"{}", b"\xff", json.dumps({"version": "1.0", "model": {"type": "none"}}).encode()):
        (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(BadFile, match=r"tokenizer\.json is no tokenizer"):
            Tokenizer(path=tmp_path).run(work, lambda: iter(()))
        with pytest.raises(BadFile, match=r"tokenizer\.json is no tokenizer"):
            load(tmp_path)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("vocab=256", "vocabulary of 256"), ("vocab=1000", "multiples of 64"), ("vocab=49152", "vocab=49216"),
        ("text=0", "nothing to learn"), ("chinese=1.5", "no share"), ("chinese=-0.1", "no share"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_named(spec: str, said: str) -> None:
    with pytest.raises(BadOption, match=said):
        parse("train", f"tokenizer:{spec}")


def test_a_spec_says_all() -> None:
    step = parse("train", "tokenizer:vocab=8192,text=20MB,chinese=0.5,path=there")
    assert step == Tokenizer(8192, 20_000_000, 0.5, Path("there"))
    assert parse("train", spec_of(step)) == step
