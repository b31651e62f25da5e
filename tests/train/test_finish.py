"""The end of a run: a checkpoint that is one only when all of it is there, and a card that tells everything."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder
from edgelm.errors import MissingInput, MissingPackage, Unsupported
from edgelm.files import read_json, sha256_file, write_json
from edgelm.plugins import parse
from edgelm.train import finish as module
from edgelm.train.base import Work
from edgelm.train.run import train
from edgelm.train.stage import trained as model_of


def test_the_card_tells_the_whole_story(trained, recipe, suite):
    card = trained.card
    assert (card.derivation, card.prompting, card.licence, card.base) == ("from-scratch", "chat", "Apache-2.0", None)
    assert [parse("train", spec) for spec in card.recipe] == recipe()
    assert [step["step"] for step in card.steps] == ["tokenizer", "corpus", "pretrain", "export"]
    assert card.steps[0]["vocab"] == 512 and card.steps[0]["digest"] == sha256_file(trained.path / "tokenizer.json")
    assert [source.name for source in card.data] == ["miniature", "miniature"]
    for source in card.data:
        assert source.sha256 == sha256_file(suite / source.model_extra["file"]) and source.tokens > 0
    pretrained, extra = card.steps[2], card.model_extra
    assert (pretrained["updates"], pretrained["tokens"], pretrained["context"]) == (6, 6 * 512, 128)
    assert pretrained["parameters"] == trained.parameters and 0 < pretrained["epochs"] < 1
    assert pretrained["held"]["miniature"]["bpb"] > 0 and pretrained["device"] == "cpu"
    assert extra["data_allowed"] is True and extra["quantized"] is False and not extra["warnings"]
    assert set(extra["overlap"]["benchmarks"]) >= {"gsm8k", "bbh", "humaneval"}
    assert extra["threads"] == 1 and extra["versions"]["torch"] == torch.__version__


def test_fine_tuning_and_drills_are_on_the_card(tuned):
    done = tuned.card.steps[3]
    assert done["step"] == "sft" and done["drills"] > 0 and done["kept"] in ("last", "average")
    stages = [json.loads(line)["stage"] for line in (tuned.path / "metrics.jsonl").read_text().splitlines()]
    assert stages == ["pretrain"] * 6 + ["sft"] * done["updates"]


def test_in_fp32_the_weights_and_answers_are_those_of_training(begun, recipe, suite, trained):
    told: list[object] = []
    made = train(recipe(), suite, begun, stored="fp32", told=lambda *seen: told.append(seen))
    assert not told and made.dtypes == {"F32": made.parameters} and made.card.steps[-1]["dtype"] == "fp32"
    steps = tuple(parse("train", spec) for spec in made.card.recipe)
    ours, _ = model_of(steps[2], Work(begun, DataFolder(suite), steps), {"step": "pretrain", "updates": 6})
    written = load_file(begun / "model.safetensors")
    assert all(torch.equal(parameter, written[name]) for name, parameter in ours.named_parameters())
    stock = AutoModelForCausalLM.from_pretrained(begun)
    assert stock.dtype == torch.float32
    asked = torch.tensor([[0, 70, 71, 72]])
    answers = [model.eval().generate(asked, max_new_tokens=20, do_sample=False, eos_token_id=None, pad_token_id=2)
               for model in (ours, stock)]  # fmt: skip
    assert torch.equal(*answers)
    assert train(recipe(), suite, begun).digest == trained.digest  # and back


@pytest.mark.parametrize("part", ["write_weights", "compare", "write_generation", "_card", "draw_page"])
def test_a_folder_is_no_checkpoint_until_all_of_it_is_there(part, begun, recipe, suite, trained, monkeypatch):
    def broken(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, part, broken)
        train(recipe(), suite, begun, stored="fp32")
    with pytest.raises(MissingInput):
        Checkpoint(begun)
    assert train(recipe(), suite, begun).digest == trained.digest


def test_a_weight_that_overflows_leaves_the_run_for_fp32(begun, recipe, suite):
    state = max((begun / "work/pretrain/states").iterdir())
    tensors = load_file(state / "tensors.safetensors")
    tensors["model.model.layers.0.mlp.up_proj.weight"][0, 0] = 1e6
    save_file(tensors, state / "tensors.safetensors")
    write_json(state / "state.json", read_json(state / "state.json") | {
        "sha256": sha256_file(state / "tensors.safetensors")})  # fmt: skip
    (begun / "config.json").unlink()
    with pytest.raises(Unsupported, match="holds values that fp16 cannot") as raised:
        train(recipe(), suite, begun)
    assert raised.value.exit_code == 2 and not (begun / "config.json").exists()
    made = train(recipe(), suite, begun, stored="fp32")
    assert load_file(made.path / "model.safetensors")["model.layers.0.mlp.up_proj.weight"][0, 0] == 1e6


def test_without_jinja_there_is_no_page_but_a_note(begun, recipe, suite, monkeypatch):
    def absent(*_):
        raise MissingPackage("jinja2", "page")

    (begun / "loss.html").unlink()
    (begun / "config.json").unlink()
    monkeypatch.setattr(module, "page", absent)
    notes: list[str] = []
    assert train(recipe(), suite, begun, note=notes.append).card.derivation == "from-scratch"
    assert not (begun / "loss.html").exists() and any("jinja2" in note for note in notes)


def test_the_page_is_of_this_run(tuned):
    page = (tuned.path / "loss.html").read_text()
    assert tuned.path.name in page and "llama, 4 layers" in page and "<script src" not in page


@pytest.mark.parametrize(
    ("files", "licence", "names", "allowed"),
    [
        (("c4/a.jsonl", "alpaca/en/b.json"), "CC-BY-NC-4.0", ["c4", "alpaca"], False),
        (("c4/a.jsonl",), "Apache-2.0", ["c4"], False),
        (("own/a.jsonl",), "", ["a.jsonl"], False),
        (("own/a.jsonl", "alpaca/en/b.json"), "CC-BY-NC-4.0", ["alpaca", "a.jsonl"], False),
    ],
)
def test_a_model_is_as_free_as_its_texts(files, licence, names, allowed, recipe, suite, tmp_path):
    data = tmp_path / "data"
    for name in ("c4/a.jsonl", "own/a.jsonl"):
        (data / name).parent.mkdir(parents=True)
        shutil.copy(suite / "c4/miniature.jsonl", data / name)
    (data / "alpaca/en").mkdir(parents=True)
    rows = json.loads((suite / "alpaca/miniature.json").read_bytes())
    (data / "alpaca/en/b.json").write_text(json.dumps(rows[:80]))
    tokenizer, corpus, pretrain = recipe("pretrain:steps=1")
    steps = [tokenizer, replace(corpus, files=files, other=True, held_out=0.0), pretrain]
    card = train(steps, data, tmp_path / "model", offline=True).card
    assert (card.licence, [source.name for source in card.data]) == (licence, names)
    assert card.model_extra["data_allowed"] is allowed
    assert all(name in card.model_extra["warnings"][0] for name in files)


def test_what_one_should_know_is_warned_of(trained):
    index = {"sources": [{"file": "c4/zh.json", "name": "c4-zh", "known": True, "documents": 3}]}
    found = module._warnings(index, {"flushed_to_zero": 0.01, "agreement": 0.9, "dtype": "fp16"})
    assert len(found) == 3
    assert "C4 in Chinese" in found[0] and "1.00% of the weights" in found[1] and "10.00%" in found[2]
    index["sources"][0] |= {"name": "c4", "known": False}
    assert "nobody has pinned the bytes of 1 files" in module._warnings(index, {"flushed_to_zero": 0.0})[0]
