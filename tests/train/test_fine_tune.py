"""Fine-tuning: what it learns from, and that nothing but answers is learned."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgelm.data.folder import DataFolder
from edgelm.errors import MissingInput
from edgelm.files import tree_files
from edgelm.plugins import parse
from edgelm.train import fine_tune as module
from edgelm.train.base import Work
from edgelm.train.loop import held
from edgelm.train.loop.loop import STATES
from edgelm.train.loop.model import Objective
from edgelm.train.loop.state import States
from edgelm.train.pretrain import Pretrain
from edgelm.train.rows.batches import IGNORED, Batches
from edgelm.train.rows.packing import pack
from edgelm.train.rows.shards import Shards
from edgelm.train.run import train
from edgelm.train.stage import trained as model_of
from edgelm.train.tokenizer import load


@pytest.fixture
def rows(tuned):
    """The rows that fine-tuning has learned from."""
    return Shards(tuned.path / "work/sft/rows")


@pytest.fixture
def tokenizer(tuned):
    return load(tuned.path / "work/tokenizer")


def test_rows_are_the_chats_of_the_corpus_and_drills(tuned, rows, tokenizer):
    corpus = Shards(tuned.path / "work/corpus")
    chats = np.flatnonzero(corpus.chat & (corpus.lengths <= 128))
    drilled = rows.source == len(rows.sources) - 1
    for row, chat in enumerate(chats.tolist()):
        length = int(corpus.lengths[chat])
        assert rows.read(row, 0, length).tolist() == corpus.read(chat, 0, length).tolist()
        assert rows.given[row] == corpus.given[chat] and not drilled[row]
    done = tuned.card.steps[3]
    assert (done["chats"], done["drills"]) == (len(chats), int(drilled.sum()))
    assert done["drills"] > 0 and done["drills"] <= round(0.2 / 0.8 * len(chats))
    assert rows.chat.all() and rows.lengths.max() <= 128 and rows.documents == len(chats) + done["drills"]


def test_a_row_is_as_the_tokenizers_own_template_has_it(rows, tokenizer):
    for row in (0, rows.documents - 1):  # a chat, and a drill
        ids, given = rows.read(row, 0, int(rows.lengths[row])).tolist(), int(rows.given[row])
        head, tail = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
        prompt = tokenizer.decode(ids[:given])
        assert prompt.startswith(head) and prompt.endswith(tail)
        question = prompt[len(head) : -len(tail)]
        messages = [{"role": "user", "content": question}]
        assert tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False) == ids[:given]
        assert ids[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>") and ids.count(ids[-1]) == 2


def test_only_answers_and_their_end_have_loss(tuned, rows, tokenizer):
    batches = Batches(rows, pack(rows.lengths, 128), 128, 0, answers_only=True)
    batch = batches(0, 4)
    counted = int((batch.labels_BT != IGNORED).sum())
    pieces = [document for row in batches.documents(0, 4) for document in row]
    assert counted == sum(int(rows.lengths[piece] - rows.given[piece]) for piece in pieces) == batches.answers(0, 4)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert int((batch.labels_BT == end).sum()) == len(pieces)  # the end is learned once a document


def test_what_was_asked_is_no_target(tuned, rows):
    """Not even indirectly: the state from which a token of the question would be told has no gradient."""
    work = _work(tuned.path, tuned)
    model, _ = model_of(work.step(Pretrain), work, tuned.card.steps[2])
    objective, packed = Objective(model), pack(rows.lengths, 128)
    batch, everything = (Batches(rows, packed, 128, 0, answers_only)(0, 2) for answers_only in (True, False))
    asked = (batch.labels_BT == IGNORED) & (everything.labels_BT != IGNORED)
    hidden = []

    def keep(_, __, out):
        out.retain_grad()
        hidden.append(out)

    handle = model.model.norm.register_forward_hook(keep)
    objective(batch).backward()
    handle.remove()
    assert asked.any() and not hidden[0].grad[asked].any()
    assert hidden[0].grad[batch.labels_BT != IGNORED].any(dim=-1).all()


def _work(out: Path, checkpoint) -> Work:
    return Work(out, DataFolder(None), tuple(parse("train", spec) for spec in checkpoint.card.recipe))


@pytest.mark.parametrize("better", ["last", "average"])
def test_the_average_is_left_where_it_is_better(better, begun, recipe, suite, monkeypatch):
    real, asked = held.HeldOut.measure, []

    def measure(self, *given, **named):
        asked.append(self)
        found = real(self, *given, **named)
        lowered = len(asked) % 2 == (better == "last")  # the average is looked at second
        return {name: each | {"loss": each["loss"] - lowered} for name, each in found.items()}

    monkeypatch.setattr(held.HeldOut, "measure", measure)
    made = train(recipe("sft:rate=0.01,epochs=0.2"), suite, begun, stored="fp32")
    done = made.card.steps[3]
    assert done["kept"] == better and set(done["held"]) == set(done["held_average"]) == {"miniature"}
    state = States(begun / "work/sft" / STATES).newest(lambda state: True, pytest.fail).tensors()
    written = load_file(begun / "model.safetensors")
    part = {"last": "model.", "average": "average."}[better]
    assert all(torch.equal(tensor, state[part + name]) for name, tensor in written.items())
    embedding = "model.embed_tokens.weight"
    assert not torch.equal(state[f"model.{embedding}"], state[f"average.{embedding}"])


def test_held_out_answers_alone_are_measured(tuned):
    part = Shards(tuned.path / "work/corpus", "held")
    answers = int((part.lengths - part.given)[part.chat].sum())
    assert tuned.card.steps[3]["held"]["miniature"]["tokens"] <= answers
    assert set(tuned.card.steps[3]["held"]["miniature"]) == {"loss", "tokens"}


def test_without_chats_there_is_nothing_to_tune_on(recipe, suite, tmp_path):
    (tmp_path / "data/c4").mkdir(parents=True)
    shutil.copy(suite / "c4/miniature.jsonl", tmp_path / "data/c4")
    with pytest.raises(MissingInput, match="no question with an answer") as raised:
        train(recipe("sft"), tmp_path / "data", tmp_path / "model", offline=True)
    assert raised.value.exit_code == 2 and not (tmp_path / "model/work/pretrain").exists()  # said before hours of it
    assert train(recipe(), tmp_path / "data", tmp_path / "model", offline=True).card.data[0].name == "c4"


def test_rows_are_written_whole_or_not_at_all(begun, tuned, recipe, suite, monkeypatch):
    def broken(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_drills", broken)
        train(recipe("sft:drills=0.2"), suite, begun)
    assert not tree_files(begun / "work/sft")
    assert train(recipe("sft:drills=0.2"), suite, begun).digest == tuned.digest


def test_a_context_of_its_own_leaves_longer_chats_out(begun, recipe, suite):
    made = train(recipe("sft:context=64,batch=64"), suite, begun)
    rows = Shards(begun / "work/sft/rows")
    assert rows.lengths.max() <= 64 and made.card.steps[3]["context"] == 64
