"""The engine over vLLM: what it asks of vLLM, held by a stand-in that answers with a real tiny model; `hf` is equal.

The stand-in speaks the part of vLLM 0.32's interface that is used; the real one is asked where it is installed.
"""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from edgelm.chat import ask
from edgelm.checkpoint import Checkpoint
from edgelm.engines import vllm as module
from edgelm.engines.base import Request
from edgelm.engines.hf import HF
from edgelm.engines.render import REVISION
from edgelm.engines.vllm import VLLM
from edgelm.errors import BadOption, MissingPackage, Unsupported

BLOCK = 16  # tokens that a cache keeps or misses together
SHARED = "The quick brown fox jumps over the lazy dog. " * 3
QUESTIONS = [SHARED + "fox", "1234", SHARED + "dog", "守株待兔", SHARED + "lazy", "a"]


class SamplingParams(SimpleNamespace):
    """What vLLM takes; a name that it does not know would be refused."""

    KNOWN = frozenset((
        "temperature", "seed", "max_tokens", "stop", "ignore_eos", "stop_token_ids", "detokenize",
        "skip_special_tokens", "repetition_penalty", "prompt_logprobs", "skip_reading_prefix_cache",
    ))  # fmt: skip

    def __init__(self, **settings):
        assert set(settings) <= self.KNOWN, settings
        super().__init__(**settings)


class LLM:
    """A model behind vLLM's interface, with a cache of blocks that are not read, and not weighed, twice."""

    made: "list[LLM]" = []  # noqa: RUF012

    def __init__(self, **settings):
        self.settings, self.calls, self.cached, self.closed = settings, [], set(), False
        if settings["model"].endswith("refused"):
            raise ValueError("no such architecture")
        self.network = AutoModelForCausalLM.from_pretrained(settings["model"])
        core = SimpleNamespace(shutdown=lambda: setattr(self, "closed", True))
        self.llm_engine = SimpleNamespace(engine_core=core)
        LLM.made.append(self)

    def generate(self, prompts, settings, *, use_tqdm):
        assert use_tqdm is False
        each = settings if isinstance(settings, list) else [settings] * len(prompts)
        asked = [prompt["prompt_token_ids"] for prompt in prompts]
        self.calls.append(asked)
        return [self._one(ids, params) for ids, params in zip(asked, each, strict=True)]

    @torch.inference_mode()
    def _one(self, prompt, params):
        assert len(prompt) + params.max_tokens <= self.settings["max_model_len"] + 1
        ids = torch.tensor([prompt])
        if getattr(params, "prompt_logprobs", None) is not None:
            return SimpleNamespace(prompt_logprobs=self._logs(prompt, params.skip_reading_prefix_cache))
        made = self.network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=params.max_tokens, do_sample=False,
            eos_token_id=params.stop_token_ids or None, pad_token_id=0, repetition_penalty=params.repetition_penalty,
        )  # fmt: skip
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=made[0, len(prompt) :].tolist())])

    def _logs(self, prompt, anew):
        logs = self.network(torch.tensor([prompt])).logits[0].log_softmax(-1)
        told = [None]
        for place in range(1, len(prompt)):
            block = tuple(prompt[: place // BLOCK * BLOCK + BLOCK])
            swallowed = not anew and block in self.cached
            value = SimpleNamespace(logprob=logs[place - 1, prompt[place]].item())
            told.append(None if swallowed else {prompt[place]: value})
        self.cached |= {tuple(prompt[:end]) for end in range(BLOCK, len(prompt) + 1, BLOCK)}
        return told


@pytest.fixture(scope="module")
def folder(make_checkpoint):
    return make_checkpoint("llama", num_hidden_layers=2, max_position_embeddings=256)


@pytest.fixture
def stand_in(monkeypatch):
    package = ModuleType("vllm")
    package.LLM, package.SamplingParams, package.__version__ = LLM, SamplingParams, "0.32.0"
    monkeypatch.setitem(sys.modules, "vllm", package)
    monkeypatch.setattr(LLM, "made", [])
    return package


def _requests(max_tokens=8, stop=()):
    return [Request(f"k{n}", n, ask(text), max_tokens, stop) for n, text in enumerate(QUESTIONS)]


def _answers(engine, folder, prompting, **asked):
    with engine.open(Checkpoint(folder), prompting) as session:
        return {reply.key: reply for group in session.answer(_requests(**asked)) for reply in group}


@pytest.mark.parametrize("prompting", ["chat", "base"])
@pytest.mark.parametrize("batch", [2, 256])
def test_answers_are_those_of_the_plain_engine(stand_in, folder, prompting, batch):
    assert _answers(VLLM(batch=batch), folder, prompting) == _answers(HF(batch=1), folder, prompting)


def test_a_stop_string_is_asked_for_and_cut_off(stand_in, folder):
    whole = _answers(HF(batch=1), folder, "base")
    stop = next(word for reply in whole.values() for word in reply.text.split() if len(word) > 1)
    found = _answers(VLLM(), folder, "base", stop=(stop,))
    assert {key: reply.text for key, reply in found.items()} == {
        key: reply.text.partition(stop)[0] for key, reply in whole.items()
    }


def test_vllm_is_told_the_dtype_the_context_and_to_keep_beginnings(stand_in, folder):
    _answers(VLLM(), folder, "chat")
    (model,) = LLM.made
    assert model.settings == {
        "model": str(folder), "dtype": "float32", "max_model_len": 256, "seed": 0, "enable_prefix_caching": True,
        "generation_config": "vllm", "kv_cache_memory_bytes": 4 * 2**30, "trust_remote_code": False,
    }  # fmt: skip
    assert model.closed
    _answers(VLLM(dtype="bfloat16", memory=2**20), folder, "chat")
    assert (LLM.made[1].settings["dtype"], LLM.made[1].settings["kv_cache_memory_bytes"]) == ("bfloat16", 2**20)


def test_one_request_of_each_beginning_goes_first(stand_in, folder):
    _answers(VLLM(), folder, "base")
    first, rest = LLM.made[0].calls
    assert len(first) == 1 and len(rest) == len(QUESTIONS) - 1
    assert sum(ids[:BLOCK] == first[0][:BLOCK] for ids in rest) == 2


def test_an_answer_ends_where_the_protocol_ends_it(stand_in, folder):
    with VLLM().open(Checkpoint(folder), "chat") as session:
        asked = session._greedy(Request("k", 0, ask("fox"), 5, ("x",)))
        assert (asked.temperature, asked.max_tokens, asked.stop, asked.ignore_eos) == (0, 5, ["x"], True)
        assert asked.stop_token_ids == session.rendering.ends and asked.detokenize
        assert not session._greedy(Request("k", 0, ask("fox"), 5)).detokenize


def test_the_checkpoints_repetition_penalty_is_honoured(stand_in, folder, monkeypatch):
    plain = _answers(VLLM(), folder, "base")
    with VLLM().open(Checkpoint(folder), "base") as session:
        session.rendering.generation.repetition_penalty = 5.0
        found = {reply.key: reply for group in session.answer(_requests()) for reply in group}
    assert found != plain


def test_loglikelihood_is_that_of_the_plain_engine_whatever_the_cache_swallows(stand_in, folder):
    quick = "The quick brown"
    pairs = [
        (SHARED, "fox"), (SHARED, "dog"), (SHARED, "fox"), (quick, SHARED), ("The quick", " brown" + SHARED),
        ("", "The fox"), ("The", ""), (quick, SHARED),
    ]  # fmt: skip
    with HF().open(Checkpoint(folder), "base") as plain, VLLM(batch=3).open(Checkpoint(folder), "base") as session:
        assert session.loglikelihood(pairs) == pytest.approx(plain.loglikelihood(pairs), abs=1e-4)
    calls = LLM.made[0].calls
    assert sum(map(len, calls)) > len(pairs), "some were swallowed and asked again"


def test_likelihoods_that_are_not_told_are_never_left_out_in_silence(stand_in, folder, monkeypatch):
    monkeypatch.setattr(LLM, "_logs", lambda self, prompt, anew: [None] * len(prompt))
    with VLLM().open(Checkpoint(folder), "base") as session, pytest.raises(Unsupported, match="no log-probabilities"):
        session.loglikelihood([("The", " fox"), ("The", "")])


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_asked(stand_in, folder):
    long = [*_requests(), Request("long", 9, ask("The fox " * 200), 8)]
    with VLLM().open(Checkpoint(folder), "base") as session, pytest.raises(Unsupported, match="truncate=mid"):
        list(session.answer(long))
    assert LLM.made[0].calls == []
    with VLLM(truncate="mid").open(Checkpoint(folder), "base") as session:
        assert sum(len(group) for group in session.answer(long)) == len(long)


def test_a_model_that_vllm_refuses_is_named(stand_in, folder, tmp_path):
    copy = tmp_path / "refused"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    with pytest.raises(Unsupported, match=r"(?s)does not load.*no such architecture.*engine local"):
        _answers(VLLM(), copy, "chat")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingPackage, match=r"\[vllm\]"):
        _ = VLLM().identity


def test_the_identity_names_what_an_answer_depends_on(stand_in):
    found = VLLM(batch=7).identity
    assert found | {"torch": "", "transformers": ""} == {
        "engine": "vllm", "vllm": "0.32.0", "torch": "", "transformers": "", "dtype": module.VLLM()._dtype,
        "device": module._device(), "batch": 7, "truncate": "left", "rendering": REVISION,
    }  # fmt: skip


def test_settings_that_make_no_sense_are_refused():
    for settings in ({"batch": 0}, {"memory": -1}):
        with pytest.raises(BadOption, match="not possible"):
            VLLM(**settings)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_the_real_one_answers_as_the_plain_engine(make_checkpoint):
    folder = make_checkpoint("llama", num_hidden_layers=2, hidden_size=256, max_position_embeddings=256)
    engine = VLLM(dtype="float32", memory=2**30)
    for prompting in ("chat", "base"):
        wanted = _answers(HF(batch=1), folder, prompting)
        found = _answers(engine, folder, prompting)
        assert {key: reply.text for key, reply in found.items()} == {key: reply.text for key, reply in wanted.items()}
