"""Which models run packed, and that the trial finds out those that only seem to."""

import json
import shutil

import pytest
import torch
import transformers

from edgelm.checkpoint import Checkpoint
from edgelm.engines import support
from edgelm.engines.model import Forward
from edgelm.engines.support import refusal, trial
from edgelm.stock import load_model

PROMPTS = [list(range(10, 70)), [8, 9, 10], list(range(100, 150))]
TINY = {
    "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "head_dim": 8, "pad_token_id": None,
}  # fmt: skip
GPT2 = {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 4}


def _model(name, **settings):
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(name, **settings)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def _why(model, generation=None):
    return refusal(model, generation or transformers.GenerationConfig())


@pytest.mark.parametrize(("name", "settings"), [
    ("llama", TINY), ("qwen2", TINY), ("qwen3", TINY), ("phi", TINY), ("gpt2", GPT2), ("olmo2", TINY),
    ("mistral", TINY | {"sliding_window": None}),
    ("llama", TINY | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}),
    ("qwen3_moe", TINY | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}),
])  # fmt: skip
def test_these_run_packed_and_give_the_same_logits(name, settings):
    model = _model(name, **settings)
    assert _why(model) is None
    assert trial(Forward(model), PROMPTS) is None


@pytest.mark.parametrize(("name", "settings", "why"), [
    ("mistral", TINY | {"sliding_window": 16}, "sliding"), ("gemma2", TINY, "sliding"),
    ("qwen2", TINY | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, "sliding"),
    ("llama", TINY | {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, "dynamic"),
    ("mamba", {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 1, "state_size": 4}, "cannot be exchanged"),
    ("bloom", {"vocab_size": 300, "hidden_size": 32, "n_layer": 1, "n_head": 4}, "cannot be exchanged"),
])  # fmt: skip
def test_these_are_refused(name, settings, why):
    assert why in _why(_model(name, **settings))


@pytest.mark.parametrize(("settings", "active"), [
    ({"repetition_penalty": 1.1, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "eos_token_id": [1, 2]}, None),
    ({"num_beams": 1, "no_repeat_ngram_size": 0, "bad_words_ids": None, "guidance_scale": 1.0}, None),
    ({"num_beams": 2}, "num_beams"), ({"no_repeat_ngram_size": 1}, "no_repeat_ngram_size"),
    ({"min_new_tokens": 1}, "min_new_tokens"), ({"forced_bos_token_id": 0}, "forced_bos_token_id"),
    ({"suppress_tokens": [3]}, "suppress_tokens"), ({"remove_invalid_values": True}, "remove_invalid_values"),
])  # fmt: skip
def test_a_generation_setting_that_is_not_honoured_is_refused(settings, active):
    model = _model("llama", **TINY)
    why = _why(model, transformers.GenerationConfig(**settings))
    assert why is None if active is None else active in why


def test_an_unknown_generation_setting_does_nothing(make_checkpoint, tmp_path):
    folder = shutil.copytree(make_checkpoint("llama", num_hidden_layers=1), tmp_path / "copy")
    (folder / "generation_config.json").write_text(json.dumps({"chat_format": "chatml"}))
    generation = transformers.GenerationConfig.from_pretrained(folder)
    assert _why(load_model(Checkpoint(folder), torch.float32), generation) is None


def test_the_trial_finds_a_model_that_attends_differently():
    model = _model("mistral", **TINY | {"sliding_window": 8})
    assert "sliding_window" in trial(Forward(model), PROMPTS)


def test_the_trial_finds_wrong_positions(monkeypatch):
    forward = Forward(_model("llama", **TINY))
    logits = forward.logits
    monkeypatch.setattr(forward, "logits", lambda ids, positions, *more: logits(ids, range(len(ids)), *more))
    assert "logits differ" in trial(forward, PROMPTS)


def test_the_trial_finds_layers_that_do_not_come_by():
    model = _model("llama", **TINY)
    model.model.layers[1].self_attn.forward = lambda hidden_states, **_: (hidden_states, None)
    assert "1 of 2 layers" in trial(Forward(model), PROMPTS)


def test_the_trial_finds_logits_that_are_no_numbers_when_packed_alone(monkeypatch):
    forward = Forward(_model("llama", **TINY))
    logits = forward.logits
    monkeypatch.setattr(forward, "logits", lambda *given: logits(*given) * torch.nan)
    assert "logits differ" in trial(forward, PROMPTS)


def test_the_trial_looks_past_logits_that_are_none_in_any_case(monkeypatch):
    forward = Forward(_model("llama", **TINY))
    logits, plain = forward.logits, forward.plain
    barred = torch.zeros(TINY["vocab_size"])
    barred[7] = -torch.inf  # as models do with ids that they must not make
    monkeypatch.setattr(forward, "plain", lambda *given: plain(*given) + barred)
    monkeypatch.setattr(forward, "logits", lambda *given: logits(*given) + barred)
    assert trial(forward, PROMPTS) is None
    monkeypatch.setattr(forward, "logits", lambda *given: logits(*given) * 2 + barred)
    assert "logits differ" in trial(forward, PROMPTS)


def test_the_trial_passes_on_that_memory_ran_out(monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(support, "_distances", fail)
    with pytest.raises(torch.OutOfMemoryError):
        trial(Forward(_model("llama", **TINY)), PROMPTS)


@pytest.mark.parametrize("prompts", [[[5]], [[5], [6], [7]], [[5, 6], list(range(100))]])
def test_short_prompts_are_enough_for_a_trial(prompts):
    assert trial(Forward(_model("llama", **TINY)), prompts) is None
