"""Log-likelihoods read together are those of each text read alone, whatever the texts share."""

import pytest
import torch

from edgelm.checkpoint import Checkpoint
from edgelm.engines import likelihood
from edgelm.engines.likelihood import Question, Text, questions, weigh
from edgelm.engines.model import Forward
from edgelm.stock import load_model

FEW = tuple(range(5, 45))  # a beginning of 40 tokens


@pytest.fixture(scope="module")
def forward(make_checkpoint):
    return Forward(load_model(Checkpoint(make_checkpoint("qwen2", num_hidden_layers=2)), torch.float32))


def _alone(forward, text):
    logs_TV = forward.plain(list(text.ids)).log_softmax(-1)
    places = range(len(text.ids) - text.own, len(text.ids))
    greedy = all(logs_TV[place - 1].argmax() == text.ids[place] for place in places)
    return sum(logs_TV[place - 1, text.ids[place]].item() for place in places), greedy


def _same(found, wanted):
    """Whether log-likelihoods are near, and greedy answering the same."""
    (logs, greedy), (wanted_logs, wanted_greedy) = (
        tuple(zip(*each, strict=True)) or ((), ()) for each in (found, wanted)
    )
    return logs == pytest.approx(wanted_logs, abs=1e-4) and greedy == wanted_greedy


def _texts(*rows):
    return [Text((*context, *own), len(own)) for context, own in rows]


TREE = _texts(
    *((FEW + asked, own) for asked in ((60, 61, 62), (60, 63), (64,)) for own in ((70,), (71, 72, 73), (71, 74)))
)
ODD = _texts(
    ((*FEW, 60), (70,)), ((*FEW, 60), (70,)),  # twice the same
    ((1,), (2, 3)), ((1,), ()), (FEW, (60, 61)), ((*FEW, 60), (61, 62)),  # short, empty, one in the other
    (FEW[:20], (*FEW[20:], 7)), (FEW[:20], (*FEW[20:], 8)),  # continuations that share more than their context
)  # fmt: skip


def test_whether_greedy_answering_gives_a_text(forward):
    with torch.inference_mode():
        best = forward.plain(list(FEW))[-1].argmax().item()
    found = weigh(forward, _texts((FEW, (best,)), (FEW, ((best + 1) % forward.vocabulary,))))
    assert [each.greedy for each in found] == [True, False]


@pytest.mark.parametrize("texts", [TREE, ODD, TREE + ODD, TREE[:1], []])
def test_each_is_what_it_is_alone(forward, texts):
    with torch.inference_mode():
        wanted = [_alone(forward, text) for text in texts]
    assert _same(weigh(forward, texts), wanted)


def test_passes_of_any_size_give_the_same(forward, monkeypatch):
    wanted = weigh(forward, TREE + ODD)
    monkeypatch.setattr(likelihood, "TOKENS", 12)
    assert _same(weigh(forward, TREE + ODD), wanted)
    monkeypatch.setattr(likelihood, "LOGITS", 1)
    assert _same(weigh(forward, TREE + ODD), wanted)


def test_what_is_shared_is_read_once(forward, monkeypatch):
    read = []
    logits = forward.logits
    monkeypatch.setattr(forward, "logits", lambda ids, *more: read.extend(ids) or logits(ids, *more))
    rows = [((*FEW, *[60 + n] * 30), (70, 80 + choice)) for n in range(4) for choice in range(4)]
    weigh(forward, _texts(*rows))
    # The beginning, four trunks, and for each text the last token of its context and the first that it weighs, which
    # is the same in all choices here.
    assert len(read) == 40 + 4 * 29 + 4 * 2


def test_a_beginning_of_one_question_is_its_trunk():
    assert questions(_texts((FEW, (1,)), (FEW, (2,)))) == [Question((), FEW[:-1], (0, 1))]


def test_questions_behind_one_beginning_follow_each_other():
    found = questions(TREE)
    assert {question.prefix for question in found} == {FEW}
    assert sorted(number for question in found for number in question.texts) == list(range(9))
