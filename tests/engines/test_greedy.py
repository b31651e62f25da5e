"""The next token: the likeliest, with transformers' repetition penalty, and none of logits that are no numbers."""

import torch
from transformers import RepetitionPenaltyLogitsProcessor

from edgelm.engines.greedy import FAILED, Choice


def test_the_likeliest_token_is_chosen():
    logits = torch.tensor([[0.0, 2.0, 1.0], [5.0, -1.0, 0.0]])
    assert Choice(1.0, 2).tokens([0, 1], logits, [[0], [0]]) == [1, 0]


def test_logits_that_are_no_numbers_are_said_and_harm_no_other_row():
    logits = torch.tensor([[torch.nan, 2.0], [torch.inf, 2.0], [-torch.inf, -torch.inf], [0.0, 1.0]])
    for penalty in (1.0, 1.3):
        assert Choice(penalty, 4).tokens(range(4), logits, [[1]] * 4) == [FAILED, FAILED, FAILED, 1]


def test_the_penalty_is_that_of_transformers_for_rows_that_come_and_go():
    generator = torch.Generator().manual_seed(0)
    choice, wanted = Choice(1.7, 2), RepetitionPenaltyLogitsProcessor(1.7)
    texts = {0: [1, 2, 3], 1: [4, 4], 2: [9, 8, 7, 6]}
    asked = dict.fromkeys(texts, 0)
    for rows in ([0], [0, 1], [1, 0], [1], [2, 1], [2, 1]):
        choice.forget([row for row in choice.rows if row not in rows])
        logits = torch.randn(len(rows), 12, generator=generator)
        tokens = choice.tokens(rows, logits, [texts[row][asked[row] :] for row in rows])
        for row, token, own in zip(rows, tokens, logits, strict=True):
            assert token == wanted(torch.tensor([texts[row]]), own[None].clone()).argmax().item()
            asked[row] = len(texts[row])
            texts[row].append(token)
