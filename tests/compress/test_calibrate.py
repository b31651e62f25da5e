from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from edgelm.chat import Turn
from edgelm.checkpoint import Card, Checkpoint
from edgelm.compress.calibrate import Calibration, draw
from edgelm.compress.texts import TextSource, from_texts
from edgelm.errors import BadFile, BadOption

DOCUMENTS = [f"Document {n} " + "tells of fox and dog. " * (n % 5 + 1) for n in range(40)]


@pytest.fixture(scope="module")
def llama(make_checkpoint: Callable[..., Path]) -> Checkpoint:
    return Checkpoint(make_checkpoint("llama"))


def decoded(base: Checkpoint, calibration: Calibration) -> list[str]:
    tokenizer = AutoTokenizer.from_pretrained(base.path)
    return [tokenizer.decode(piece) for piece in (*calibration.batches, *calibration.held_out)]


def test_pieces_are_cut_from_single_documents(llama: Checkpoint) -> None:
    calibration = draw(llama, [from_texts("a", DOCUMENTS)], tokens=600, sequence=32)
    for text in decoded(llama, calibration):
        assert any(text in document for document in DOCUMENTS)
    lengths = [len(piece) for piece in (*calibration.batches, *calibration.held_out)]
    assert min(lengths) >= 8
    assert max(lengths) <= 32
    assert 600 <= calibration.record["tokens"] + calibration.record["held_out_tokens"] < 600 + 75 + 32
    assert calibration.record["held_out_tokens"] >= 600 // 9
    assert calibration.sources[0].tokens == calibration.record["tokens"]


def test_seed_decides(llama: Checkpoint) -> None:
    one, two, other = (
        draw(llama, [from_texts("a", DOCUMENTS)], tokens=300, sequence=32, seed=seed) for seed in (1, 1, 2)
    )
    assert one == two
    assert one.record["ids_sha256"] != other.record["ids_sha256"]


def test_texts_get_equal_shares_of_tokens(llama: Checkpoint) -> None:
    texts = [from_texts("long", [5 * text for text in DOCUMENTS]), from_texts("short", DOCUMENTS)]
    calibration = draw(llama, [*texts, from_texts("tiny", ["x"])], tokens=3000, sequence=64)
    assert [source.name for source in calibration.sources] == ["long", "short"]
    assert all(1000 < source.tokens < 2000 for source in calibration.sources)


def test_conversations_take_the_models_form(make_checkpoint: Callable[..., Path]) -> None:
    asked = (Turn("user", "How many legs has a fox?"), Turn("assistant", "A fox has four legs."))
    source = TextSource("a", [asked] * 4, "")
    plain = {"llama": "### Instruction:\nHow many", "phi": "Instruct: How many legs has a fox?\nOutput: A fox"}
    for family, form in plain.items():
        base = Checkpoint(make_checkpoint(family))
        assert "<|im_start|>user\nHow many" in decoded(base, draw(base, [source], tokens=100))[0]
        base.write_card(Card(prompting="base"))
        assert form in decoded(base, draw(base, [source], tokens=100))[0]


def test_context_bounds_the_sequence(make_checkpoint: Callable[..., Path]) -> None:
    base = Checkpoint(make_checkpoint("llama", max_position_embeddings=16))
    calibration = draw(base, [from_texts("a", DOCUMENTS)], tokens=200)
    assert max(map(len, calibration.batches)) == 16


def test_too_little_is_refused(llama: Checkpoint) -> None:
    with pytest.raises(BadOption, match="too few to hold some out"):
        draw(llama, [from_texts("a", ["The quick brown fox jumps over the lazy dog."])])
    with pytest.raises(BadOption, match="4 tokens in sequences of 1024"):
        draw(llama, [from_texts("a", DOCUMENTS)], tokens=4)


def test_a_foreign_tokenizer_is_refused(make_checkpoint: Callable[..., Path]) -> None:
    base = Checkpoint(make_checkpoint("llama", vocab_size=64))
    with pytest.raises(BadFile, match="gives the id"):
        draw(base, [from_texts("a", DOCUMENTS)], tokens=200)
