from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from edgelm.checkpoint import Card, Checkpoint
from edgelm.compress.calibrate import Calibration, draw
from edgelm.compress.fallback import built_in
from edgelm.compress.healing.further import Further
from edgelm.data.texts import Document, TextSource, upstream_sets
from edgelm.errors import BadFile, BadOption

DOCUMENTS = [f"Document {n} " + "tells of fox and dog. " * (n % 5 + 1) for n in range(40)]
LONG = [" ".join([f"In document {n} a fox tells of dogs."] * 6) for n in range(60)]


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
    text = TextSource("a", [Document(f"A fox has {n} legs.", "How many legs has a fox?") for n in range(4)], "")
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


def test_half_is_c4_and_a_quarter_each_language_of_alpaca(llama: Checkpoint) -> None:
    parts = [source("c4", DOCUMENTS[n::8]) for n in range(8)]  # many files are one set
    texts = [*parts, source("alpaca", [f"Alpaca {text}" for text in DOCUMENTS]), source("alpaca-zh", LONG)]
    calibration = draw(llama, texts, tokens=1600, sequence=64)
    tokens: Counter[str] = Counter()
    for each in calibration.sources:
        tokens[each.name] += each.tokens
    shares = {name: count / calibration.record["tokens"] for name, count in tokens.items()}
    assert shares == pytest.approx({"c4": 0.5, "alpaca": 0.25, "alpaca-zh": 0.25}, abs=0.05)


def test_a_set_that_runs_out_leaves_its_share_to_the_others(llama: Checkpoint) -> None:
    calibration = draw(llama, [source("c4", DOCUMENTS[:2]), source("alpaca", LONG)], tokens=1500, sequence=64)
    first, second = calibration.sources
    assert first.tokens < 100 < 1200 < second.tokens


def test_no_document_is_calibrated_on_and_held_out_and_healed_on(llama: Checkpoint) -> None:
    """Whole documents go to one of the three, however often the text holds them."""
    texts = [source("a", [*LONG, *LONG[:9]]), source("b", LONG)]
    calibration = draw(llama, texts, tokens=1500, sequence=16)
    further = Further(llama, texts, calibration, 16, 0)
    healing = further.draw(10**9)
    tokenizer = AutoTokenizer.from_pretrained(llama.path)
    parts = [
        {name for piece in pieces for name in re.findall(r"\bdocument (\d+)\b", tokenizer.decode(piece))}
        for pieces in (calibration.batches, calibration.held_out, healing)
    ]
    assert all(parts)
    assert parts[0] | parts[1] | parts[2] == {str(n) for n in range(len(LONG))}
    assert sum(map(len, parts)) == len(LONG)
    count = sum(map(len, healing))
    assert count + calibration.record["tokens"] + calibration.record["held_out_tokens"] > 4000
    assert sum(map(len, further.draw(100))) in range(100, 117)


def test_healing_reads_on_in_a_book_behind_what_judges(llama: Checkpoint) -> None:
    """There is no other document: healing has other sentences than the calibration, and none that judges."""
    book = [source("book.txt", [" ".join(f"Sentence {n} tells of fox and dog." for n in range(2000))])]
    calibration = draw(llama, book, tokens=600, sequence=32)
    healing = Further(llama, book, calibration, 32, 0).draw(5000)
    assert 5000 <= sum(map(len, healing)) < 5000 + 32
    tokenizer = AutoTokenizer.from_pretrained(llama.path)
    sentences = [
        [int(number) for number in re.findall(r"Sentence (\d+) tells", tokenizer.decode([*chain(*pieces)]))]
        for pieces in (calibration.batches, calibration.held_out, healing)
    ]
    assert all(sentences)
    read = [number for numbers in sentences for number in numbers]
    assert read == sorted(set(read))


def test_healing_leaves_a_document_that_judges_alone(llama: Checkpoint) -> None:
    """Two sets of one document each: what is left of the one that was held out as a whole is not read either."""
    texts = [source(name, [f"{name} " * 3000]) for name in ("fox", "dog")]
    calibration = draw(llama, texts, tokens=600, sequence=32)
    used = calibration.calibrated
    healing = Further(llama, texts, replace(calibration, calibrated=used - {1}), 32, 0).draw(10**9)
    assert used == {0, 1}
    tokenizer = AutoTokenizer.from_pretrained(llama.path)
    assert {"fox", "dog"} & set(tokenizer.decode([*chain(*healing)]).split()) == {"fox"}


def test_healing_text_is_small_and_has_its_sources(llama: Checkpoint) -> None:
    """Of the most that was drawn, until it is asked for."""
    texts = [source("a", LONG), replace(source("b", DOCUMENTS), licence="MIT")]
    further = Further(llama, texts, draw(llama, texts, tokens=600, sequence=32), 32, 0)
    assert further.told() == {}
    most = [further.draw(tokens) for tokens in (900, 10**9, 40)][1]
    assert {each.itemsize for each in most if isinstance(each, array)} == {4}
    assert all(isinstance(each, array) for each in most)
    record = further.told()["learned_from"]
    assert (record["sequences"], record["tokens"]) == (len(most), sum(map(len, most)))
    assert [(each["name"], each["licence"]) for each in record["sources"]] == [("a", ""), ("b", "MIT")]
    assert sum(each["tokens"] for each in record["sources"]) == record["tokens"]
    assert not record["allowed"]
    assert further.told() == {}


def test_probes_are_of_each_data_set(llama: Checkpoint) -> None:
    texts = [source("a", [*LONG, *LONG]), source("b", DOCUMENTS), source("b", [f"守株待兔{n}" for n in range(9)])]
    calibration = draw(llama, texts, tokens=3000, sequence=64)
    assert len(calibration.probes) == 4
    assert all(probe in calibration.held_out for probe in calibration.probes)
    tokenizer = AutoTokenizer.from_pretrained(llama.path)
    said = [tokenizer.decode(probe) for probe in calibration.probes[:2]]
    assert {"In document" in text or "tells of dogs" in text for text in said} == {True, False}


def test_documents_encoded_together_are_as_by_themselves(llama: Checkpoint) -> None:
    texts = [TextSource("a", [Document(text, "Tell me." if n % 3 else None) for n, text in enumerate(DOCUMENTS)], "")]
    calibration = draw(llama, texts, tokens=10**6)
    tokenizer = AutoTokenizer.from_pretrained(llama.path)
    alone = []
    for each in texts[0].documents:
        form = f"<|im_start|>user\nTell me.<|im_end|>\n<|im_start|>assistant\n{each.text}<|im_end|>\n"
        alone.append(tokenizer(each.text if each.question is None else form).input_ids)
    assert sorted([*calibration.batches, *calibration.held_out]) == sorted(alone)


def test_what_the_rules_allow_is_said(llama: Checkpoint) -> None:
    digest = next(digest for digest, (name, _) in upstream_sets().items() if name == "alpaca")
    pinned = replace(source("alpaca", DOCUMENTS), sha256=digest, known=True)
    assert draw(llama, [pinned], tokens=300).allowed
    assert not draw(llama, [source("alpaca", DOCUMENTS)], tokens=300).allowed  # whose bytes nobody knows
    assert not draw(llama, [pinned, source("mine.txt", LONG)], tokens=300).allowed
    assert draw(llama, [replace(pinned, name="miniature", sha256="")], tokens=300).allowed


def test_text_without_chinese_is_warned_of(llama: Checkpoint) -> None:
    def warned(texts: list[TextSource]) -> bool:
        return any("no Chinese" in warning for warning in draw(llama, texts, tokens=900).warnings)

    english = source("a", DOCUMENTS)
    assert warned([english])
    assert not warned([english, source("b", [f"守株待兔的故事告诉我们{n}" for n in range(9)])])
    assert not warned([built_in()])
    assert warned([replace(built_in(), documents=[each for each in built_in().documents if each.text.isascii()])])


def test_text_that_nobody_searched_for_benchmarks_is_warned_of(llama: Checkpoint) -> None:
    text = source("a", DOCUMENTS)
    calibration = draw(llama, [text], tokens=300)
    assert calibration.record["overlap"] is None
    assert any("not searched" in warning for warning in calibration.warnings)
    searched = draw(llama, [replace(text, overlap={"documents": 3})], tokens=300)
    assert searched.record["overlap"] == {"documents": 3}
    assert not any("not searched" in warning for warning in searched.warnings)
    assert draw(llama, [replace(text, overlap={"documents": 3}), source("b", LONG)]).record["overlap"] is None


def test_a_long_document_is_not_held_out_for_its_length(llama: Checkpoint) -> None:
    """By tokens an eighth is held out, of other documents, wherever a long one comes in the draw."""
    texts = [source("a", ["fox " * 800, *DOCUMENTS]), source("b", LONG)]
    for seed in range(8):
        calibration = draw(llama, texts, tokens=1600, sequence=64, seed=seed)
        held, used = calibration.record["held_out_tokens"], calibration.record["tokens"]
        assert (held + used) // 9 <= held <= 2 * (held + used) // 9
        tokenizer = AutoTokenizer.from_pretrained(llama.path)
        long = [{piece.count(tokenizer("fox fox").input_ids[1]) > 9 for piece in part}
                for part in (calibration.batches, calibration.held_out)]  # fmt: skip
        assert not (True in long[0] and True in long[1])


def test_one_document_is_cut_in_two(llama: Checkpoint) -> None:
    calibration = draw(llama, [source("a", ["fox " * 800])], tokens=300, sequence=32)
    assert calibration.record["held_out_tokens"] in range(33, 33 + 32)
    assert calibration.record["tokens"] >= 256
