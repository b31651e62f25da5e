from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from edgelm.checkpoint import Card, Checkpoint
from edgelm.compress.calibrate import Calibration, draw
from edgelm.compress.fallback import built_in
from edgelm.data.texts import Document, TextSource
from edgelm.errors import BadFile, BadOption

DOCUMENTS = [f"Document {n} " + "tells of fox and dog. " * (n % 5 + 1) for n in range(40)]


@pytest.fixture(scope="module")
def llama(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    return Checkpoint(make_checkpoint("llama"))


def source(name: str, texts: list[str]) -> TextSource:
    return TextSource(name, [Document(text) for text in texts], "")


def decoded(base: Checkpoint, calibration: Calibration) -> list[str]:
    tokenizer = AutoTokenizer.from_pretrained(base.path)
    return [tokenizer.decode(piece) for piece in (*calibration.batches, *calibration.held_out)]


def test_pieces_are_cut_from_single_documents(llama: Checkpoint) -> None:
    calibration = draw(llama, [source("a", DOCUMENTS)], tokens=600, sequence=32)
    for text in decoded(llama, calibration):
        assert any(text in document for document in DOCUMENTS)
    lengths = [len(piece) for piece in (*calibration.batches, *calibration.held_out)]
    assert min(lengths) >= 8
    assert max(lengths) <= 32
    assert 600 <= calibration.record["tokens"] + calibration.record["held_out_tokens"] < 600 + 75 + 32
    assert calibration.record["held_out_tokens"] >= 600 // 9
    assert calibration.sources[0].tokens == calibration.record["tokens"]


def test_seed_decides(llama: Checkpoint) -> None:
    one, two, other = (draw(llama, [source("a", DOCUMENTS)], tokens=300, sequence=32, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one.record["ids_sha256"] != other.record["ids_sha256"]


def test_texts_get_equal_shares_of_tokens(llama: Checkpoint) -> None:
    texts = [source("long", [5 * text for text in DOCUMENTS]), source("short", DOCUMENTS)]
    calibration = draw(llama, [*texts, source("tiny", ["x"])], tokens=3000, sequence=64)
    assert [source.name for source in calibration.sources] == ["long", "short"]
    assert all(1000 < source.tokens < 2000 for source in calibration.sources)


def test_files_of_one_name_are_counted_apart(llama: Checkpoint) -> None:
    calibration = draw(llama, [source("a", DOCUMENTS), TextSource("a", [Document("fox " * 900)], "0" * 64)], tokens=900)
    first, second = calibration.sources
    assert (first.name, second.name, first.sha256, second.sha256) == ("a", "a", "", "0" * 64)
    assert first.tokens + second.tokens == calibration.record["tokens"]


def test_the_card_says_that_the_text_was_the_built_in_one(llama: Checkpoint) -> None:
    assert draw(llama, [built_in()], tokens=200).record["fallback"]
    assert not draw(llama, [source("a", DOCUMENTS)], tokens=200).record["fallback"]


def test_conversations_take_the_models_form(make_checkpoint: Callable[..., Path]) -> None:
    text = TextSource("a", [Document("A fox has four legs.", "How many legs has a fox?")] * 4, "")
    plain = {"llama": "### Instruction:\nHow many", "phi": "Instruct: How many legs has a fox?\nOutput: A fox"}
    for family, form in plain.items():
        base = Checkpoint(make_checkpoint(family))
        assert "<|im_start|>user\nHow many" in decoded(base, draw(base, [text], tokens=100))[0]
        base.write_card(Card(prompting="base"))
        assert form in decoded(base, draw(base, [text], tokens=100))[0]


def test_context_bounds_the_sequence(make_checkpoint: Callable[..., Path]) -> None:
    base = Checkpoint(make_checkpoint("llama", max_position_embeddings=16))
    calibration = draw(base, [source("a", DOCUMENTS)], tokens=200)
    assert max(map(len, calibration.batches)) == 16


def test_too_little_is_refused(llama: Checkpoint) -> None:
    with pytest.raises(BadOption, match="too few to hold some out"):
        draw(llama, [source("a", ["The quick brown fox jumps over the lazy dog."])])
    with pytest.raises(BadOption, match="4 tokens in sequences of 1024"):
        draw(llama, [source("a", DOCUMENTS)], tokens=4)


def test_a_foreign_tokenizer_is_refused(make_checkpoint: Callable[..., Path]) -> None:
    base = Checkpoint(make_checkpoint("llama", vocab_size=64))
    with pytest.raises(BadFile, match="gives the id"):
        draw(base, [source("a", DOCUMENTS)], tokens=200)
