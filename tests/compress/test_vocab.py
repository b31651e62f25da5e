from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.base import Progress
from edgelm.compress.calibrate import draw
from edgelm.compress.config import portable
from edgelm.compress.fallback import built_in
from edgelm.compress.judging import in_own_tokens
from edgelm.compress.stream.model import Model
from edgelm.compress.vocab import Vocab
from edgelm.compress.vocabulary.count import count_tokens
from edgelm.compress.vocabulary.trim import NAMES, tokenizer_files
from edgelm.errors import BadOption, MissingInput
from edgelm.files import sha256_bytes
from edgelm.plugins import parse, spec_of
from edgelm.stock import load_model, load_tokenizer, save_tensors

# The last because transformers' class for Qwen2 adds it to a tokenizer without.
SPECIALS = ("<|bos|>", "<|eos|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")
ENTRIES, ROWS = 604, 640  # tokens and rows: some rows have no token, as Qwen's and Phi's
KEPT = 384
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
MESSAGES = [{"role": "user", "content": "What is the way?"}, {"role": "assistant", "content": "守 — that is unknown."}]
Open = Callable[[Checkpoint], Model]


@pytest.fixture
def base(make_checkpoint: Callable[..., Path], family: str, tied: bool) -> Checkpoint:
    """A checkpoint with more rows than tokens, its special tokens first."""
    return of_many_tokens(make_checkpoint, family, tied=tied)


def of_many_tokens(make_checkpoint: Callable[..., Path], family: str, **settings: Any) -> Checkpoint:
    ids = {"bos_token_id": 0, "eos_token_id": 1, "num_hidden_layers": 2}
    folder = make_checkpoint(family, vocab_size=ROWS, **ids, **settings)
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=ENTRIES, special_tokens=list(SPECIALS), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    core.train_from_iterator([document.text for document in built_in().documents], trainer)
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<|bos|>", eos_token="<|eos|>",
                                                pad_token="<|eos|>")  # fmt: skip
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 3], "pad_token_id": 1}))
    return Checkpoint(folder)


@pytest.fixture
def untrimmed(base: Checkpoint, opened: Open) -> Model:
    return with_tokenizer(base, opened)


def with_tokenizer(base: Checkpoint, opened: Open) -> Model:
    """The model as a step finds it: with its tokenizer's files, and text to count tokens in."""
    model = opened(base)
    model.files = tokenizer_files(base.path)
    model.documents = [document.text for document in built_in().documents[:3]]
    return model


def logits(model: Model, tokens: list[int]) -> torch.Tensor:
    weight_VD, bias_V = model.head()
    [states_TD] = model.final_states([tokens], lambda done, total: None)
    return states_TD @ weight_VD.T + (0 if bias_V is None else bias_V)


def written(model: Model, folder: Path) -> Checkpoint:
    """The model as a checkpoint in stock format."""
    save_tensors(folder / "model.safetensors", {name: model.outer(name).contiguous() for name in model.names})
    write_config(folder / "config.json", portable(model.config, "float32"))
    for name, content in model.files.items():
        (folder / name).write_bytes(content)
    return Checkpoint(folder)


def test_states_and_logits_of_what_is_kept_are_the_bases(base: Checkpoint, opened: Open, silent: Progress) -> None:
    before, model = opened(base), with_tokenizer(base, opened)
    record = Vocab(keep=KEPT).apply(model, [], silent)
    old_ids = model.idmap
    assert old_ids is not None
    assert len(old_ids) == record["kept"] == model.config["vocab_size"] == KEPT
    new = list(range(0, KEPT, 3))
    old = [old_ids[token] for token in new]
    states = [
        each.final_states([tokens], lambda done, total: None)[0] for each, tokens in ((before, old), (model, new))
    ]
    assert torch.equal(*states)
    assert torch.allclose(logits(model, new), logits(before, old)[:, old_ids], atol=1e-6)
    assert [model.outer(name).shape for name in model.names] == [
        (KEPT, *before.outer(name).shape[1:]) if before.outer(name).shape[0] == ROWS else before.outer(name).shape
        for name in before.names
    ]


def test_the_result_is_a_stock_checkpoint_whose_tokenizer_fits(
    base: Checkpoint, untrimmed: Model, silent: Progress, tmp_path: Path
) -> None:
    model = untrimmed
    record = Vocab(keep=KEPT).apply(model, [], silent)
    (tmp_path / "made").mkdir()
    made = written(model, tmp_path / "made")
    one, two = load_tokenizer(base), load_tokenizer(made)
    assert len(two) == KEPT == made.shape.vocab
    assert two.vocab.keys() <= one.vocab.keys()
    new_ids = {old: new for new, old in enumerate(model.idmap or ())}
    for text in [*model.documents, *SPECIALS, "<|im_start|>a<|im_end|>"]:
        before, after = one(text).input_ids, two(text).input_ids
        if set(before) <= new_ids.keys():
            assert after == [new_ids[token] for token in before]
        assert two.decode(after) == one.decode(before)
    chats = [each.apply_chat_template(MESSAGES, tokenize=False) for each in (one, two)]
    assert chats[0] == chats[1] == "".join(f"<|im_start|>{m['content']}<|im_end|>" for m in MESSAGES)
    assert two.decode(two(chats[1]).input_ids) == chats[1]
    assert (two.bos_token_id, two.eos_token_id, two.pad_token_id) == (new_ids[0], new_ids[1], new_ids[1])
    assert made.config["bos_token_id"] == new_ids[0]
    assert made.config["eos_token_id"] == new_ids[1]
    assert made.generation_config == {"eos_token_id": [new_ids[1], new_ids[3]], "pad_token_id": new_ids[1]}
    assert record["tokenizer_sha256"] == sha256_bytes((base.path / "tokenizer.json").read_bytes())

    two.save_pretrained(tmp_path / "again")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert again.vocab == two.vocab
    assert again(chats[1]).input_ids == two(chats[1]).input_ids

    ids = two(chats[1]).input_ids
    with torch.no_grad():
        found = load_model(made, torch.float32)(torch.tensor([ids])).logits[0]
    assert torch.allclose(found, logits(model, ids), atol=1e-4)


@pytest.mark.parametrize("family", ["llama"])
@pytest.mark.parametrize("tied", [False], ids=["untied"])
class TestOneFamily:
    """What no family does otherwise."""

    def test_the_plan_is_what_is_written(self, untrimmed: Model, silent: Progress) -> None:
        counts = count_tokens(untrimmed.files["tokenizer.json"], untrimmed.documents)
        for step in (Vocab(keep=0.7), Vocab(langs=("en",)), Vocab(min_count=1), Vocab(keep=KEPT, specials="used")):
            model = Model(untrimmed.config, untrimmed.pieces)
            model.files, model.documents = untrimmed.files, untrimmed.documents
            planned = step.settled(model.files, model.config, counts).plan(model.config)
            if not step.min_count:
                rough = step.settled(model.files, model.config).plan(model.config)
                assert rough["vocab_size"] == planned["vocab_size"]
            step.apply(model, [], silent)
            assert model.config == planned
            assert model.config["vocab_size"] % 64 == 0

    def test_a_settled_step_counts_no_more(self, untrimmed: Model, silent: Progress) -> None:
        counts = count_tokens(untrimmed.files["tokenizer.json"], untrimmed.documents)
        step = Vocab(keep=KEPT).settled(untrimmed.files, untrimmed.config, counts)
        untrimmed.documents = ["zzzz"]
        record = step.apply(untrimmed, [], silent)
        assert record["counted"] == sum(counts.values())

    def test_twice_goes_back_to_the_first_base(self, untrimmed: Model, silent: Progress) -> None:
        Vocab(keep=512).apply(untrimmed, [], silent)
        first = list(untrimmed.idmap or ())
        again = Model(untrimmed.config, untrimmed.pieces)
        again.files, again.documents = dict(untrimmed.files), untrimmed.documents
        Vocab(keep=KEPT).apply(again, [], silent)
        own = again.idmap or []
        untrimmed.files, untrimmed.idmap = dict(untrimmed.files), first
        Vocab(keep=KEPT).apply(untrimmed, [], silent)
        assert untrimmed.idmap == [first[token] for token in own]

    def test_progress_is_told(self, untrimmed: Model) -> None:
        told: list[tuple[str, int, int]] = []
        Vocab(keep=KEPT).apply(untrimmed, [], lambda *what: told.append(what))
        assert told == [("vocab: count tokens", 3, 3)]

    def test_what_is_missing_is_named(self, untrimmed: Model, silent: Progress) -> None:
        untrimmed.documents = []
        with pytest.raises(MissingInput, match="min_count needs text"):
            Vocab(min_count=2).apply(untrimmed, [], silent)
        untrimmed.files = {}
        with pytest.raises(MissingInput, match=r"tokenizer\.json"):
            Vocab(keep=0.5).apply(untrimmed, [], silent)

    def test_llama_is_never_taken_for_another(self, untrimmed: Model) -> None:
        config = {"vocab_size": 98_304, "model_type": "llama"}
        assert Vocab(keep=0.5).plan(config)["vocab_size"] == 49_216
        assert Vocab(keep=0.5).plan({**config, "model_type": "qwen2"})["vocab_size"] == 49_152


def test_options() -> None:
    options: dict[str, Any]
    for options in ({}, {"keep": 0.5, "min_count": 2}, {"keep": 0.5, "langs": ("en",)}):
        with pytest.raises(BadOption, match="one of keep, langs and min_count"):
            Vocab(**options)
    for options in ({"keep": 0}, {"keep": -1}, {"keep": 1000.5}, {"min_count": 0}, {"langs": ("cn",)}):
        with pytest.raises(BadOption):
            Vocab(**options)


@pytest.mark.parametrize(
    "spec", ["vocab:keep=0.6", "vocab:keep=65536", "vocab:langs=en+zh", "vocab:min_count=3,specials=used"]
)
def test_specs(spec: str) -> None:
    step = parse("compress", spec)
    assert spec_of(step) == spec
    assert parse("compress", spec_of(step)) == step


def test_plans_without_a_tokenizer() -> None:
    config = {"vocab_size": 1000, "model_type": "qwen2", "eos_token_id": 7}
    assert Vocab(keep=0.5).plan(config) == {**config, "vocab_size": 512}
    assert Vocab(keep=700).plan(config) == {**config, "vocab_size": 704}
    for step in (Vocab(langs=("en",)), Vocab(min_count=2)):
        with pytest.raises(MissingInput, match="without a tokenizer"):
            step.plan(config)
        assert not step.idle(config)
    assert [Vocab(keep=keep).idle(config) for keep in (1, 1.0, 1000, 2000, 999, 0.999)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_text_in_fewer_tokens_is_no_longer_than_the_context(
    make_checkpoint: Callable[..., Path], opened: Open, silent: Progress, family: str
) -> None:
    """Learned positions have as many rows as the context has tokens. The beginning of the text is what stays."""
    base = of_many_tokens(make_checkpoint, family, max_position_embeddings=40)
    batches = draw(base, [built_in()], tokens=900).batches
    model = with_tokenizer(base, opened)
    model.documents, model.base = ["nothing of it"], with_tokenizer(base, opened)
    Vocab(keep=KEPT).apply(model, [], silent)
    own = in_own_tokens(model, batches)
    assert sum(map(len, own)) > sum(map(len, batches))
    assert max(map(len, own)) == 40
    assert all(torch.isfinite(states_TD).all() for states_TD in model.final_states(own, lambda done, total: None))
    tokenizer, old_ids = load_tokenizer(base), model.idmap or []
    for old, new in zip(batches, own, strict=True):
        now, text = (tokenizer.decode(ids).rstrip("\ufffd") for ids in ([old_ids[token] for token in new], old))
        assert now == text if len(new) < 40 else text.startswith(now)
