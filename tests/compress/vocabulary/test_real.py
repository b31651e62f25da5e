"""Real tokenizers on real text: read exactly as before wherever tokens stay, whatever the policy."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer

from edgelm.compress.vocab import Vocab
from edgelm.compress.vocabulary.byte_bpe import byte_bpe
from edgelm.compress.vocabulary.count import count_tokens
from edgelm.compress.vocabulary.keep import Selection, select
from edgelm.compress.vocabulary.rewrite import Rewriter
from edgelm.compress.vocabulary.scripts import occurs_in
from edgelm.compress.vocabulary.trim import tokenizer_files, trim

# Tokens of the model that can occur in en+zh, and V′: with those they are merged from, and special ones.
OF_SCRIPTS = {"llama-3": (104_148, 104_512), "qwen2": (121_459, 121_536), "phi-2": (49_835, 49_920)}


@pytest.fixture(scope="module")
def documents(shared: Path) -> list[str]:
    """Web text in English, questions and answers in English and Chinese."""
    data = shared / "data"
    paths = [data / "c4/derived/c4_en_docs.jsonl.gz", data / "alpaca/en/alpaca_data.json.gz",
             data / "alpaca/zh/alpaca-chinese-52k-v3.json.gz"]  # fmt: skip
    if missing := [path for path in paths if not path.is_file()]:
        pytest.skip(f"there is no {missing[0]}")
    with gzip.open(paths[0], "rt") as file:
        found = [json.loads(line)["text"] for line in islice(file, 60)]
    for path, key in ((paths[1], "output"), (paths[2], "zh_output")):
        found += [row[key] for row in json.loads(gzip.decompress(path.read_bytes()))[:500]]
    return found


@pytest.fixture(scope="module")
def base(real: tuple[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(real[1]))


@pytest.fixture(scope="module")
def counted(real: tuple[str, Any], documents: list[str]) -> Counter[int]:
    return count_tokens(json.dumps(real[1]).encode(), documents)


def trimmed(tokenizer: dict[str, Any], found: Selection) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(Rewriter(byte_bpe(tokenizer), found.new_ids).tokenizer(tokenizer)))


def compare(base: Tokenizer, made: Tokenizer, found: Selection, texts: list[str]) -> float:
    """The share of texts whose tokens all stay; each of them must read the same, and none be lost."""
    alike = 0
    for text, before, after in zip(texts, base.encode_batch(texts), made.encode_batch(texts), strict=True):
        assert made.decode(after.ids, skip_special_tokens=False) == base.decode(before.ids, skip_special_tokens=False)
        if all(token in found.new_ids for token in before.ids):
            assert after.ids == [found.new_ids[token] for token in before.ids], text
            alike += 1
    return alike / len(texts)


def test_keep_is_exact_for_text_whose_tokens_stay(
    real: tuple[str, Any], base: Tokenizer, counted: Counter[int], documents: list[str]
) -> None:
    _, tokenizer = real
    found = select(tokenizer, counted, Vocab(keep=0.5))
    assert len(found.old_ids) == -(-len(byte_bpe(tokenizer).texts) // 128) * 64
    assert found.survived > 0.999 * found.counted
    made = trimmed(tokenizer, found)
    assert compare(base, made, found, documents) > 0.95
    other = [
        "สวัสดีครับ วันนี้อากาศดี",
        "Здравствуйте, мир",
        "def f(x):\n\treturn x\n\n\n    pass",
        "🙂👩‍👩‍👧‍👦🏳️‍🌈",
        "",
        "\r\n \t",
    ]
    noise = [random.Random(seed).randbytes(200).decode("latin-1") for seed in range(50)]
    assert compare(base, made, found, other + noise) < 1


def test_min_count_1_reads_all_that_was_counted_as_before(
    real: tuple[str, Any], base: Tokenizer, counted: Counter[int], documents: list[str]
) -> None:
    _, tokenizer = real
    found = select(tokenizer, counted, Vocab(min_count=1))
    assert found.survived == found.counted
    assert len(counted) <= len(found.old_ids) < 1.5 * len(counted) + 512
    assert compare(base, trimmed(tokenizer, found), found, documents) == 1


def test_langs_reads_all_text_of_the_scripts_as_before(
    real: tuple[str, Any], base: Tokenizer, documents: list[str]
) -> None:
    name, tokenizer = real
    bpe, occurs = byte_bpe(tokenizer), occurs_in(("en", "zh"))
    found = select(tokenizer, {}, Vocab(langs=("en", "zh")))
    of_scripts = {token for token in bpe.ids.values() if occurs(bpe.spelled(token))}
    assert (len(of_scripts), len(found.old_ids)) == OF_SCRIPTS[name]
    assert of_scripts <= set(found.old_ids)
    made = trimmed(tokenizer, found)
    inside = [text for text in documents if all(c < "\x80" or "\u4e00" <= c <= "\u9fff" for c in text)]
    assert compare(base, made, found, inside) == 1
    draw = random.Random(0)
    others = (
        (0x2000, 0x2070),
        (0x3000, 0x3040),
        (0x3400, 0x4DC0),
        (0x4E00, 0xA000),
        (0x4E00, 0xA000),
        (0xFF00, 0xFFF0),
    )
    ranges = [range(0x80)] * 3 + [range(*each) for each in others] + [[0xB7, 0xD7]]
    texts = ["".join(chr(draw.choice(draw.choice(ranges))) for _ in range(30)) for _ in range(2000)]
    assert compare(base, made, found, texts) == 1


def test_all_of_phi_2s_files_load_as_one_tokenizer(shared: Path, documents: list[str], tmp_path: Path) -> None:
    folder = shared / "data/tokenizers/phi-2"
    files, config = tokenizer_files(folder), json.loads((folder / "config.json").read_bytes())
    assert files.keys() > {"vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"}
    made = trim(files, config, {}, Vocab(keep=0.6))
    for name, content in (files | made.files).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "config.json").write_text(json.dumps(made.config(config)))
    one, two = (transformers.AutoTokenizer.from_pretrained(path, local_files_only=True) for path in (folder, tmp_path))
    assert len(two) == made.config(config)["vocab_size"] == 30_208
    assert two.eos_token_id == made.config(config)["eos_token_id"] == made.selection.new_ids[50_256]
    alike = 0
    for text in [*documents[:200], "    " * 9 + "x<|endoftext|>"]:
        before, after = one(text).input_ids, two(text).input_ids
        assert one.decode(before) == two.decode(after)
        if set(before) <= made.selection.new_ids.keys():
            assert after == [made.selection.new_ids[token] for token in before]
            alike += 1
    assert alike > 20
