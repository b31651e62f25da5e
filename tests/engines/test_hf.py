"""The plain engine: exact about what it was asked. Its answers are held against OpenCompass's with the tasks."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from edgelm.chat import Prompt, Turn, ask
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Request
from edgelm.engines.hf import HF, HFSession
from edgelm.engines.render import REVISION
from edgelm.errors import BadFile, BadOption, InputError
from edgelm.plugins import parse


@pytest.fixture(scope="module")
def folder(make_checkpoint):
    return make_checkpoint("llama", num_hidden_layers=2, max_position_embeddings=64)


@pytest.fixture
def copy(folder, tmp_path):
    """The checkpoint again, to be damaged."""
    return shutil.copytree(folder, tmp_path / "copy")


def _ask(folder, *questions, prompting="chat", max_tokens=8, stop=(), **settings):
    requests = [Request(f"k{n}", n, ask(text), max_tokens, stop) for n, text in enumerate(questions)]
    with HF(**settings).open(Checkpoint(folder), prompting) as session:
        return list(session.answer(requests))


# What is asked


def test_batches_follow_from_the_place_in_the_data_not_from_what_else_is_asked(folder):
    requests = [Request(str(n), n, ask("a" * (n + 1)), 4) for n in (7, 1, 4, 3, 2, 9)]
    with HF(batch=4).open(Checkpoint(folder), "chat") as session:
        groups = [[reply.key for reply in group] for group in session.answer(requests)]
    assert groups == [["1", "2", "3"], ["4", "7"], ["9"]]


def test_a_batch_gives_what_single_questions_give(folder):
    questions = ["The quick brown fox", "1234", "守株待兔", "jumps over the lazy dog"]
    (together,) = _ask(folder, *questions)
    alone = _ask(folder, *questions, batch=1)
    assert [reply.text for reply in together] == [group[0].text for group in alone]
    assert [reply.prompt_tokens for reply in together] == [group[0].prompt_tokens for group in alone]


def test_the_cap_holds_and_is_said(folder):
    for cap in (1, 5):
        ((reply,),) = _ask(folder, "The quick", max_tokens=cap, prompting="base")
        assert (reply.tokens, reply.finish) == (cap, "length")


def test_a_stop_string_ends_the_answer_and_is_cut_off(folder):
    ((whole,),) = _ask(folder, "The quick", prompting="base", max_tokens=16)
    stop = re.findall("[A-Za-z]{2,}", whole.text)[0]
    ((cut,),) = _ask(folder, "The quick", prompting="base", max_tokens=16, stop=(stop,))
    assert cut.text == whole.text.split(stop)[0]
    assert cut.finish == "stop" and cut.tokens < whole.tokens


def test_a_row_that_stops_early_counts_no_padding(folder):
    ((whole,),) = _ask(folder, "The quick", prompting="base", max_tokens=16)
    stop = re.findall("[A-Za-z]{2,}", whole.text)[0]
    ((alone,),) = _ask(folder, "The quick", prompting="base", max_tokens=16, stop=(stop,))
    ((first, _),) = _ask(folder, "The quick", "1234567890", prompting="base", max_tokens=16, stop=(stop,))
    assert (first.text, first.tokens, first.finish) == (alone.text, alone.tokens, "stop")


def test_rows_of_one_batch_stop_each_at_its_own_strings(folder):
    ((whole,),) = _ask(folder, "The quick", prompting="base", max_tokens=16)
    stops = (re.findall("[A-Za-z]{2,}", whole.text)[0],), ()
    requests = [Request(str(n), n, ask("The quick"), 16, stop) for n, stop in enumerate(stops)]
    with HF().open(Checkpoint(folder), "base") as session:
        replies = {reply.key: reply for group in session.answer(requests) for reply in group}
    assert replies["0"].tokens < whole.tokens
    assert (replies["1"].text, replies["1"].tokens) == (whole.text, whole.tokens)


def test_a_stop_string_that_begins_in_the_prompt_ends_nothing(folder):
    ((whole,),) = _ask(folder, "The quick", prompting="base", max_tokens=8)
    ((asked,),) = _ask(folder, "The quick", prompting="base", max_tokens=8, stop=("quick" + whole.text[0],))
    assert asked == whole


def test_a_stop_string_of_the_checkpoint_itself_ends_an_answer(folder, copy):
    ((whole,),) = _ask(folder, "The quick", prompting="base", max_tokens=16)
    stop = re.findall("[A-Za-z]{2,}", whole.text)[0]
    settings = json.loads((copy / "generation_config.json").read_bytes())
    (copy / "generation_config.json").write_text(json.dumps(settings | {"stop_strings": [stop]}))
    ((stopped,),) = _ask(copy, "The quick", prompting="base", max_tokens=16)
    assert stopped.tokens < whole.tokens and whole.text.startswith(stopped.text)


def test_an_end_token_ends_the_answer(folder, copy):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ((whole,),) = _ask(folder, "The quick", prompting="base", max_tokens=6)
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer("The quick", return_tensors="pt")["input_ids"]
    made = model.generate(ids, max_new_tokens=6, do_sample=False, eos_token_id=None)[0, ids.shape[1] :].tolist()
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": [made[2]]}))
    ((ended,),) = _ask(copy, "The quick", prompting="base", max_tokens=6)
    place = made.index(made[2])
    assert ended.finish == "stop" and ended.tokens == place + 1 < whole.tokens


def test_base_prompting_gives_the_model_the_text_as_it_is(folder):
    prompt = Prompt((Turn("user", "The quick"), Turn("assistant", "brown\n"), Turn("user", "fox")))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with HF().open(Checkpoint(folder), "base") as session:
        assert session.text(prompt) == "The quick\nbrown\n\nfox"
        ((reply,),) = session.answer([Request("k", 0, prompt, 4)])
    assert reply.prompt_tokens == len(tokenizer("The quick\nbrown\n\nfox")["input_ids"])


def test_chat_prompting_goes_through_the_template(folder):
    with HF().open(Checkpoint(folder), "chat") as session:
        assert session.text(ask("fox")) == "<|im_start|>user\nfox\n<|im_end|>\n<|im_start|>assistant\n"


def test_a_prompt_longer_than_the_context_keeps_its_end(folder):
    end = " jumps over the lazy dog" * 30
    ((one,), (other,)) = (_ask(folder, start + end, prompting="base")[0] for start in ("The fox", "1234567890"))
    assert one.prompt_tokens == other.prompt_tokens == 64
    assert one.text == other.text
    ((different,),) = _ask(folder, "The fox" + end + " 7", prompting="base")
    assert different.prompt_tokens == 64


# Likelihood


def test_loglikelihood_is_that_of_the_continuation_alone(folder):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    pairs = [("The quick brown", " fox"), ("The quick brown", " fox jumps over"), ("1", "234")]
    with HF().open(Checkpoint(folder), "base") as session:
        found = session.loglikelihood(pairs)
    for (context, continuation), value in zip(pairs, found, strict=True):
        whole, before = tokenizer(context + continuation)["input_ids"], len(tokenizer(context)["input_ids"])
        with torch.no_grad():
            logs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
        assert value == pytest.approx(sum(logs[n - 1, whole[n]].item() for n in range(before, len(whole))), abs=1e-4)


def test_loglikelihood_of_a_long_context_sees_its_end_and_of_nothing_is_certain(folder):
    long, tail = "The fox" * 60, " jumps"
    with HF().open(Checkpoint(folder), "base") as session:
        values = session.loglikelihood([(long, tail), ("1234567890" + long, tail), ("The", ""), ("", "The fox")])
    assert values[0] == pytest.approx(values[1], abs=1e-5) and values[0] < 0
    assert values[2] == 0.0
    assert values[3] < 0


# What cannot be run


def test_chat_without_a_template_is_refused(copy):
    (copy / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((copy / "tokenizer_config.json").read_bytes())
    config.pop("chat_template", None)
    (copy / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(BadOption, match="no chat template"):
        _ask(copy, "fox")
    assert Checkpoint(copy).prompting == "base" and _ask(copy, "fox", prompting="base")


@pytest.mark.parametrize("template", ["{% for", "{{ raise_exception('no') }}", "{{ 1 / 0 }}"])
def test_a_template_that_does_not_work_is_named(copy, template):
    (copy / "chat_template.jinja").write_text(template)
    with pytest.raises(BadFile, match="chat template"):
        _ask(copy, "fox")


def test_what_is_wrong_is_named_in_order_configuration_headers_tokenizer_model(folder, copy):
    damages = {"config.json": b'{"model_type": "mystery"}', "model.safetensors": b"no weights", "tokenizer.json": b"{"}
    for name, content in damages.items():
        (copy / name).write_bytes(content)
    for name, named in zip(damages, ("mystery", "safetensors", "tokenizer of"), strict=True):
        with pytest.raises(InputError, match=named):
            _ask(copy, "fox")
        shutil.copyfile(folder / name, copy / name)
    config = json.loads((copy / "config.json").read_bytes())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(BadFile, match=r"not those that its config\.json describes"):
        _ask(copy, "fox")


def test_the_tokenizer_works_as_opencompass_had_it_whatever_its_files_say(copy):
    config = json.loads((copy / "tokenizer_config.json").read_bytes())
    config |= {"padding_side": "right", "truncation_side": "right"}
    for said, meant in ((None, True), (False, False), (True, True)):
        said = {} if said is None else {"clean_up_tokenization_spaces": said}
        config.pop("clean_up_tokenization_spaces", None)
        (copy / "tokenizer_config.json").write_text(json.dumps(config | said))
        with HF().open(Checkpoint(copy), "base") as session:
            tokenizer = session.rendering.tokenizer
        assert (tokenizer.padding_side, tokenizer.truncation_side) == ("left", "left")
        assert tokenizer.decode(tokenizer("fox .")["input_ids"]) == ("fox." if meant else "fox .")


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(BadOption, match="batch=0"):
        parse("engines", "hf:batch=0")
    with pytest.raises(BadOption, match="float8"):
        parse("engines", "hf:dtype=float8")


def test_the_identity_names_what_an_answer_depends_on():
    assert HF(batch=4, device="cpu").identity | {"torch": "", "transformers": ""} == {
        "engine": "hf", "batch": 4, "dtype": "float32", "device": "cpu", "truncate": "left", "rendering": REVISION,
        "torch": "", "transformers": "",
    }  # fmt: skip


def test_models_with_learned_positions_are_known_as_such():
    sizes = {"vocab_size": 64, "n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 1}
    gpt2 = GPT2LMHeadModel(GPT2Config(**sizes))
    rotary = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                          num_attention_heads=1))  # fmt: skip
    for model, learned in ((gpt2, True), (rotary, False)):
        rendering = SimpleNamespace()
        HFSession(rendering, model, batch=1, device="cpu")
        assert rendering.learned_positions is learned
