"""The fast engine: answers equal to the plain engine's, to OpenCompass's golden ones, and honest when it cannot."""

import json
import logging
import re
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from edgelm.chat import ask
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Request
from edgelm.engines.hf import HF
from edgelm.engines.local import Local
from edgelm.engines.render import REVISION
from edgelm.errors import BadOption, Unsupported
from edgelm.plugins import parse

FEW = "Question: The quick brown fox? Answer: jumps.\n" * 2
QUESTIONS = [
    *(f"{FEW}Question: {asked}? Answer:" for asked in ("The lazy dog", "1234567890", "quick quick", "守株待兔", "a")),
    "fox", "1234 " * 70,  # nothing shared; longer than the context
]  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_theta": 1e4,
          "original_max_position_embeddings": 64}  # fmt: skip
PAIRS = [(question, own) for question in QUESTIONS[:4] for own in (" fox", " quick dog", " lazy", "a")]


@pytest.fixture(scope="module")
def folder(make_checkpoint):
    return make_checkpoint("llama", num_hidden_layers=2)


@pytest.fixture
def copy(folder, tmp_path):
    """The checkpoint again, to be changed."""
    return shutil.copytree(folder, tmp_path / "copy")


def _ask(engine, folder, questions=QUESTIONS, max_tokens=16, stop=(), prompting="base"):
    caps = max_tokens if isinstance(max_tokens, list) else [max_tokens] * len(questions)
    requests = [Request(f"k{n}", n, ask(text), caps[n], stop) for n, text in enumerate(questions)]
    with engine.open(Checkpoint(folder), prompting) as session:
        replies = {reply.key: reply for group in session.answer(requests) for reply in group}
        return replies, session


# The plain engine


@pytest.mark.parametrize(("family", "settings"), [
    ("llama", {}), ("llama", {"tied": True, "num_key_value_heads": 4, "attention_bias": True}), ("qwen2", {}),
    ("qwen3", {}), ("phi", {"partial_rotary_factor": 0.25}),
    ("llama", {"rope_parameters": LLAMA3}),
])  # fmt: skip
def test_replies_and_likelihoods_are_those_of_the_plain_engine_asked_one_by_one(make_checkpoint, family, settings):
    folder = make_checkpoint(family, num_hidden_layers=2, **settings)
    wanted, plain = _ask(HF(batch=1), folder)
    found, session = _ask(Local(batch=3), folder)
    assert session.why is None
    assert found == wanted
    assert session.loglikelihood(PAIRS) == pytest.approx(plain.loglikelihood(PAIRS), abs=1e-4)


# What is asked


def test_each_request_has_its_own_cap_and_answers_come_as_they_end(folder):
    caps = [9, 2, 5, 7, 1, 3, 8]
    wanted, _ = _ask(HF(batch=1), folder, max_tokens=caps)
    assert _ask(Local(batch=2), folder, max_tokens=caps)[0] == wanted


def test_a_stop_string_ends_an_answer_as_it_does_in_the_plain_engine(folder):
    whole, _ = _ask(HF(batch=1), folder, QUESTIONS[:1])
    stop = re.findall("[A-Za-z]{2,}", whole["k0"].text)[0]
    for prompting in ("chat", "base"):
        wanted, _ = _ask(HF(batch=1), folder, stop=(stop, "zzz"), prompting=prompting)
        found, _ = _ask(Local(), folder, stop=(stop, "zzz"), prompting=prompting)
        assert found == wanted
    assert wanted["k0"].finish == "stop" and wanted["k0"].tokens < whole["k0"].tokens


def test_a_repetition_penalty_is_honoured(folder, copy):
    (copy / "generation_config.json").write_text(json.dumps({"repetition_penalty": 1.8, "eos_token_id": 1}))
    wanted, _ = _ask(HF(batch=1), copy)
    found, session = _ask(Local(batch=3), copy)
    assert found == wanted and session.why is None
    assert found != _ask(Local(batch=3), folder)[0]


def test_answers_do_not_depend_on_what_was_asked_before(folder):
    requests = [Request(f"k{n}", n, ask(text), 8) for n, text in enumerate(QUESTIONS)]
    with Local(batch=2).open(Checkpoint(folder), "base") as session:
        first, again = ([reply for group in session.answer(requests[n:]) for reply in group] for n in (0, 3))
        assert list(session.answer([])) == []
    assert sorted(again, key=lambda reply: reply.key) == sorted(
        (reply for reply in first if reply.key >= "k3"), key=lambda reply: reply.key
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_run_packed_too(folder, dtype):
    found, session = _ask(Local(dtype=dtype), folder, QUESTIONS[:3])
    assert session.why is None and len(found) == 3
    with HF(dtype=dtype).open(Checkpoint(folder), "base") as plain:
        assert session.loglikelihood(PAIRS[:2]) == pytest.approx(plain.loglikelihood(PAIRS[:2]), rel=0.05)


def test_a_prompt_of_nothing_is_answered_as_by_the_plain_engine(folder):
    for questions in (["", "fox"], ["The quick", "1234", "dog", "", "brown"]):
        found, session = _ask(Local(), folder, questions)
        assert session.why is None and found == _ask(HF(batch=1), folder, questions)[0]


def test_nothing_to_weigh_says_nothing_about_the_model(folder):
    with Local().open(Checkpoint(folder), "base") as session:
        assert session.loglikelihood([]) == [] and session.why is None


def test_little_memory_makes_it_slower_not_different(folder):
    assert _ask(Local(memory=1), folder)[0] == _ask(Local(), folder)[0]


@pytest.mark.gpu
def test_a_gpu_gives_the_answers_of_the_plain_engine(make_checkpoint):
    for family in ("llama", "qwen2", "phi"):
        folder = make_checkpoint(family, num_hidden_layers=2)
        wanted, plain = _ask(HF(batch=1, device="cuda", dtype="float32"), folder)
        found, session = _ask(Local(device="cuda", dtype="float32"), folder)
        assert session.why is None and found == wanted
        assert session.loglikelihood(PAIRS) == pytest.approx(plain.loglikelihood(PAIRS), abs=1e-3)


# What cannot be run packed


def test_a_model_that_cannot_run_packed_is_answered_by_the_plain_engine_and_that_is_said(make_checkpoint, caplog):
    folder = make_checkpoint(
        "qwen2", num_hidden_layers=2, use_sliding_window=True, sliding_window=8, max_window_layers=0
    )
    with caplog.at_level(logging.WARNING):
        found, session = _ask(Local(), folder)
    assert _unnoted(found) == _ask(HF(), folder)[0]
    assert {reply.note for reply in found.values()} == {session.note}
    assert session.note.startswith("by hf: ") and "sliding" in session.note and "sliding" in caplog.text
    assert session.loglikelihood(PAIRS[:2]) == _plain_likelihood(folder, PAIRS[:2])


def _unnoted(replies):
    return {key: replace(reply, note=None) for key, reply in replies.items()}


def _plain_likelihood(folder, pairs):
    with HF().open(Checkpoint(folder), "base") as session:
        return session.loglikelihood(pairs)


def test_a_model_that_fails_its_trial_is_answered_by_the_plain_engine(folder, monkeypatch):
    monkeypatch.setattr("edgelm.engines.local.trial", lambda *_: "it was said so")
    found, session = _ask(Local(), folder)
    assert _unnoted(found) == _ask(HF(), folder)[0] and session.note == "by hf: it was said so"


def test_logits_that_are_no_numbers_fail_their_row_alone_and_that_is_said(copy):
    weights = load_file(copy / "model.safetensors")
    from transformers import AutoTokenizer

    (token,) = AutoTokenizer.from_pretrained(copy)("7")["input_ids"]
    weights["model.embed_tokens.weight"][token] = torch.inf
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    questions = ["The fox", "1237", "The dog", "brown"]
    found, _ = _ask(Local(batch=2), copy, questions, max_tokens=4)
    assert found["k1"].text == "" and "not finite" in found["k1"].note
    del questions[1]
    others = [found[key] for key in ("k0", "k2", "k3")]
    assert [replace(reply, key="") for reply in others] == [
        replace(reply, key="") for reply in _ask(HF(batch=1), copy, questions, max_tokens=4)[0].values()
    ]
    for engine in (Local(), HF()):
        with engine.open(Checkpoint(copy), "base") as session, pytest.raises(Unsupported, match="1 of 2"):
            session.loglikelihood([("The", " fox"), ("7", " fox")])


# Settings


def test_settings_that_make_no_sense_are_refused():
    for spec, named in (("batch=-1", "batch=-1"), ("memory=-1", "memory=-1"), ("dtype=int8", "int8")):
        with pytest.raises(BadOption, match=named):
            parse("engines", f"local:{spec}")
    if not torch.cuda.is_available():
        with pytest.raises(Unsupported, match="no GPU"):
            parse("engines", "local:device=cuda")


def test_the_identity_names_what_an_answer_depends_on():
    assert Local(device="cpu").identity | {"torch": "", "transformers": ""} == {
        "engine": "local", "revision": 1, "batch": 64, "dtype": "float32", "device": "cpu", "truncate": "left",
        "rendering": REVISION, "memory": 4 * 2**30, "torch": "", "transformers": "",
    }  # fmt: skip
    assert Local(batch=8, memory=10**9, device="cpu").identity != Local(device="cpu").identity


def test_own_code_answers_by_both_engines_alike_and_only_if_asked_for(own_code, tmp_path):
    requests = [Request(f"k{n}", n, ask(text), 8) for n, text in enumerate(QUESTIONS[:4])]

    def answers(engine, folder):
        with engine.open(Checkpoint(folder), "base") as session:
            return {reply.key: reply.text for replies in session.answer(requests) for reply in replies}

    plain = answers(HF(code=True), own_code)
    assert answers(Local(code=True), own_code) == plain
    as_stock = shutil.copytree(own_code, tmp_path / "stock")
    config = json.loads((as_stock / "config.json").read_bytes())
    (as_stock / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    assert answers(HF(), as_stock) != plain, "the code was run"
    for engine in (HF, Local):
        assert "code" not in engine().identity and engine(code=True).identity["code"] is True
        with pytest.raises(Unsupported, match="own-llama"), engine().open(Checkpoint(own_code), "base"):
            pass
