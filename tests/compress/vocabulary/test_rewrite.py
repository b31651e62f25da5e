"""What a rewritten tokenizer does: exactly what the base's does wherever the tokens stay, and nothing is ever lost."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from edgelm.compress.vocab import Vocab
from edgelm.compress.vocabulary.byte_bpe import byte_bpe
from edgelm.compress.vocabulary.keep import Selection, select
from edgelm.compress.vocabulary.named import named_tokens
from edgelm.compress.vocabulary.rewrite import Rewriter, rewritten

Pair = tuple[Tokenizer, Tokenizer, Selection]
_CODE = ["x = [i ** 2 for i in range(10)]\n\n\n", "if (a && b) {\n\treturn;\n}", "    " * 5 + "pass"]
_BYTES = [random.Random(seed).randbytes(60).decode("latin-1") for seed in range(5)]
_OF_TEXT = [
    "The ",
    "quick",
    " otherwise",
    " other",
    "’s",
    "守株",
    "待兔",
    "，不能",
    "１２",
    "100",
    "\n\n",
    "  ",
    "<|im_end|>",
]


@pytest.fixture(scope="module")
def trimmed(tokenizer: dict[str, Any], loaded: Any, strange: list[str]) -> Callable[[Vocab], Pair]:
    """The base's tokenizer, the one that a policy leaves of it, and which tokens that has."""
    core = loaded(tokenizer)
    counts = Counter(token for text in strange for token in core.encode(text, add_special_tokens=False).ids)

    def make(policy: Vocab) -> Pair:
        bpe = byte_bpe(tokenizer)
        named = named_tokens(bpe, {"tokenizer.json": tokenizer}, {}, policy.specials)
        found = select(tokenizer, counts, policy, named=named)
        made = Rewriter(bpe, found.new_ids).tokenizer(tokenizer)
        return core, loaded(made), found

    return make


def read_alike(pair: Pair, text: str) -> bool:
    """Whether all tokens of a text stay; then it must read the same. What is read is never another text."""
    core, made, found = pair
    before, after = core.encode(text).ids, made.encode(text).ids
    decoded = core.decode(before, skip_special_tokens=False)
    assert made.decode(after, skip_special_tokens=False) == decoded
    if not all(token in found.new_ids for token in before):
        return False
    assert after == [found.new_ids[token] for token in before]
    assert made.encode(text).tokens == core.encode(text).tokens
    return True


@pytest.mark.parametrize(
    "policy", [Vocab(keep=0.5), Vocab(keep=0.7), Vocab(min_count=2), Vocab(langs=("en",))], ids=str
)
def test_text_whose_tokens_stay_reads_the_same_and_all_else_without_loss(
    trimmed: Callable[[Vocab], Pair], strange: list[str], policy: Vocab
) -> None:
    pair = trimmed(policy)
    alike = [read_alike(pair, text) for text in [*strange, *_CODE, *_BYTES]]
    assert {True, False} == set(alike)  # both cases are seen

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.one_of(st.sampled_from([*_OF_TEXT, *strange, *_CODE]), st.text(max_size=8)), max_size=6))
    def any_text(parts: list[str]) -> None:
        read_alike(pair, "".join(parts))

    any_text()


def test_everything_met_often_enough_reads_the_same(trimmed: Callable[[Vocab], Pair], strange: list[str]) -> None:
    pair = trimmed(Vocab(min_count=1))
    assert len(pair[2].old_ids) < 800
    assert all(read_alike(pair, text) for text in strange)


def _characters(*ranges: tuple[int, int]) -> st.SearchStrategy[str]:
    return st.one_of(*(st.characters(min_codepoint=a, max_codepoint=b, exclude_categories=["Cs"]) for a, b in ranges))


_EN = _characters((0, 0x7F), (0x2000, 0x206F))
_ZH = _characters((0, 0x7F), (0x2000, 0x206F), (0x3000, 0x303F), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xFF00, 0xFFEF),
                  (0xB7, 0xB7), (0xD7, 0xD7))  # fmt: skip


@pytest.mark.parametrize(("langs", "characters"), [(("en",), _EN), (("en", "zh"), _ZH), (("zh",), _ZH)])
@pytest.mark.parametrize("specials", ["all", "used"])
def test_all_text_of_the_scripts_reads_the_same(
    trimmed: Callable[[Vocab], Pair], langs: tuple[str, ...], characters: st.SearchStrategy[str], specials: Any
) -> None:
    pair = trimmed(Vocab(langs=langs, specials=specials))
    words = [word for word in _OF_TEXT if "zh" in langs or word.isascii()]

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.one_of(st.sampled_from(words), st.text(characters, max_size=10)), max_size=8))
    def any_text(parts: list[str]) -> None:
        text = "".join(parts)
        assume(specials == "all" or "<|" not in text)  # a special token that no text has is gone
        assert read_alike(pair, text)

    any_text()


def test_only_tokens_ids_and_merges_change(tokenizer: dict[str, Any], trimmed: Callable[[Vocab], Pair]) -> None:
    found = trimmed(Vocab(keep=0.7))[2]
    made = Rewriter(byte_bpe(tokenizer), found.new_ids).tokenizer(tokenizer)
    assert list(made) == list(tokenizer)
    assert list(made["model"]) == list(tokenizer["model"])
    same = tokenizer.keys() - {"model", "added_tokens", "post_processor"}
    assert {key: made[key] for key in same} == {key: tokenizer[key] for key in same}
    of_model = tokenizer["model"].keys() - {"vocab", "merges"}
    assert {key: made["model"][key] for key in of_model} == {key: tokenizer["model"][key] for key in of_model}
    stay = made["model"]["vocab"].keys()
    merges = tokenizer["model"]["merges"]
    assert made["model"]["merges"] == [merge for merge in merges if {*merge, "".join(merge)} <= stay]
    ids = sorted([*made["model"]["vocab"].values(), *(entry["id"] for entry in made["added_tokens"])])
    assert ids == list(range(len(found.old_ids)))  # every row has its token
    before = {entry["content"]: entry for entry in tokenizer["added_tokens"]}
    for entry in made["added_tokens"]:
        old = before[entry["content"]]
        assert entry == {**old, "id": found.new_ids[old["id"]]}
    assert [entry["id"] for entry in made["added_tokens"]] == sorted(entry["id"] for entry in made["added_tokens"])


def test_processors_and_padding_name_new_ids(tokenizer: dict[str, Any]) -> None:
    bpe = byte_bpe(tokenizer)
    ids = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    bos, eos, other = (ids[name] for name in ("<|bos|>", "<|eos|>", "<|spare_0|>"))
    inner = {"type": "BertProcessing", "sep": ["<|eos|>", eos], "cls": ["<|bos|>", bos]}
    template = {"type": "TemplateProcessing", "single": [], "pair": [],
                "special_tokens": {"x": {"id": "x", "ids": [bos, eos], "tokens": ["<|bos|>", "<|eos|>"]}}}  # fmt: skip
    given = {**tokenizer, "post_processor": {"type": "Sequence", "processors": [inner, template]},
             "padding": {"pad_id": other, "pad_token": "<|spare_0|>"}}  # fmt: skip
    made = Rewriter(bpe, {bos: 3, eos: 4, other: 5}).tokenizer(given)
    assert made["post_processor"]["processors"][0] == {**inner, "sep": ["<|eos|>", 4], "cls": ["<|bos|>", 3]}
    assert made["post_processor"]["processors"][1]["special_tokens"]["x"]["ids"] == [3, 4]
    assert made["padding"] == {"pad_id": 5, "pad_token": "<|spare_0|>"}
    assert given["post_processor"]["processors"][0]["sep"] == ["<|eos|>", eos]  # nothing is changed in place


def test_an_added_token_of_the_model_keeps_one_id(tokenizer: dict[str, Any], loaded: Any) -> None:
    """As GPT-2's and Phi-2's <|endoftext|>, which stands in both lists."""
    flags = {**tokenizer["added_tokens"][0], "content": "Ġother", "special": False}
    model_id = tokenizer["model"]["vocab"]["Ġother"]
    both = {**tokenizer, "added_tokens": [{**flags, "id": model_id}, *tokenizer["added_tokens"]]}
    found = select(both, {}, Vocab(keep=0.8))
    made = Rewriter(byte_bpe(both), found.new_ids).tokenizer(both)
    [entry] = [entry for entry in made["added_tokens"] if entry["content"] == "Ġother"]
    assert entry["id"] == made["model"]["vocab"]["Ġother"] == found.new_ids[model_id]
    assert read_alike((loaded(both), loaded(made), found), "a")


def test_older_merges_stay_as_they_are_written(tokenizer: dict[str, Any]) -> None:
    older = {
        **tokenizer,
        "model": {**tokenizer["model"], "merges": [" ".join(m) for m in tokenizer["model"]["merges"]]},
    }
    found = select(older, {}, Vocab(keep=0.6))
    assert found == select(tokenizer, {}, Vocab(keep=0.6))
    one, two = (Rewriter(byte_bpe(given), found.new_ids).tokenizer(given) for given in (older, tokenizer))
    assert one["model"]["merges"] == [" ".join(merge) for merge in two["model"]["merges"]]


def test_every_file_names_new_ids(files: dict[str, Any], contents: dict[str, bytes]) -> None:
    tokenizer = files["tokenizer.json"]
    bpe = byte_bpe(tokenizer)
    added = files["added_tokens.json"]
    gone = added["<|spare_1|>"]
    found = select(tokenizer, {}, Vocab(keep=0.7, specials="used"), named=set(added.values()) - {gone})
    new = found.new_ids
    made = rewritten(contents, files, bpe, new)
    assert "chat_template.jinja" not in made
    read = {name: json.loads(content) for name, content in made.items() if name != "merges.txt"}

    assert read["vocab.json"] == read["tokenizer.json"]["model"]["vocab"]
    assert read["added_tokens.json"] == {text: new[token] for text, token in added.items() if token != gone}
    config, before = read["tokenizer_config.json"], files["tokenizer_config.json"]
    entries = {entry["content"]: entry for entry in before["added_tokens_decoder"].values()}
    assert {int(n): e for n, e in config["added_tokens_decoder"].items()} == {
        new[added[text]]: e for text, e in entries.items() if text != "<|spare_1|>"
    }
    same = before.keys() - {"added_tokens_decoder"}
    assert {key: config[key] for key in same} == {key: before[key] for key in same}
    assert read["special_tokens_map.json"] == {"eos_token": "<|eos|>", "unk_token": None}  # there never was an [UNK]
    assert read["generation_config.json"] == {
        "eos_token_id": [new[added["<|eos|>"]], new[added["<|im_end|>"]]], "temperature": 0.6,
        "bad_words_ids": [], "pad_token_id": None,
    }  # fmt: skip
    head, *lines = made["merges.txt"].decode().splitlines()
    assert head == "#version: 0.2"
    assert [line.split() for line in lines] == read["tokenizer.json"]["model"]["merges"]


def test_no_list_names_a_token_that_is_gone(files: dict[str, Any]) -> None:
    bpe = byte_bpe(files["tokenizer.json"])
    ids = {text: token for token, text in bpe.texts.items()}
    rewriter = Rewriter(bpe, {ids["<|bos|>"]: 0, ids["<|eos|>"]: 1})
    made = rewriter.settings({
        "additional_special_tokens": ["<|bos|>", {"content": "<|spare_0|>"}, "<new>"], "mask_token": None,
        "extra_special_tokens": {"start": "<|bos|>", "spare": "<|spare_0|>"}, "cls_token": {"content": "<|spare_0|>"},
    })  # fmt: skip
    assert made == {"additional_special_tokens": ["<|bos|>"], "mask_token": None,
                    "extra_special_tokens": {"start": "<|bos|>"}, "cls_token": None}  # fmt: skip
