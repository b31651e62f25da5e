"""The cascade against plain attention over everything that a token may see, and its refusals."""

from types import SimpleNamespace

import pytest
import torch

from edgelm.engines.attention import Foreign, Fresh, Lot, Step, cascade
from edgelm.engines.kernels import formula
from edgelm.engines.kv_cache import Beginning, Shelf, Slot

HEADS, QUERIES, SIZE = 2, 3, 8
MODULE = SimpleNamespace(layer_idx=0)


def _tensors(tokens, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    heads = (HEADS * QUERIES, HEADS, HEADS)
    return [torch.randn(1, each, tokens, SIZE, generator=generator) * scale for each in heads]


def _plain(q, keys, values, causal=False):
    """One row's attention over keys 1 × heads × S × size; as a layer gives it out: T × heads × size."""
    k, v = (x.repeat_interleave(QUERIES, dim=1) for x in (keys, values))
    return formula(q, k, v, SIZE**-0.5, causal, None)[0][0].transpose(0, 1)


def _beginning(tokens, seed, scale=1.0):
    _, k, v = _tensors(tokens, seed, scale)
    kept = Beginning()
    kept.write(0, k[0], v[0])
    return kept, k, v


@pytest.mark.parametrize("scale", [1.0, 12.0])  # with the larger one a part's exponentials overflow on their own
def test_new_tokens_see_their_own_row_and_the_beginning(scale):
    beginning, before_k, before_v = _beginning(11, 1, scale)
    q, k, v = _tensors(9, 2, scale)
    step = Step(fresh=[Fresh(0, 4), Fresh(4, 9)], shared=[(4, 9, beginning)])
    out, _ = cascade(MODULE, q, k, v, None, step=step)
    close = {"atol": 2e-5 * scale**2, "rtol": 1e-4}
    torch.testing.assert_close(out[0, :4], _plain(q[:, :, :4], k[:, :, :4], v[:, :, :4], causal=True), **close)
    for token in range(4, 9):
        keys = torch.cat([before_k, k[:, :, 4 : token + 1]], 2)
        values = torch.cat([before_v, v[:, :, 4 : token + 1]], 2)
        wanted = _plain(q[:, :, token : token + 1], keys, values)
        torch.testing.assert_close(out[0, token : token + 1], wanted, **close)


def test_branches_see_their_trunk_and_the_beginning_but_not_each_other():
    beginning, before_k, before_v = _beginning(6, 3)
    q, k, v = _tensors(7, 4)
    step = Step(fresh=[Fresh(0, 3), Fresh(3, 5), Fresh(5, 7)], across=[(3, 7, 0, 3)], shared=[(0, 7, beginning)])
    out, _ = cascade(MODULE, q, k, v, None, step=step)
    seen = torch.tensor([0, 1, 2, 5, 6])
    keys, values = (torch.cat([before, x[:, :, seen]], 2) for before, x in ((before_k, k), (before_v, v)))
    torch.testing.assert_close(out[0, 6:], _plain(q[:, :, 6:], keys, values))


def test_rows_that_go_on_see_exactly_the_keys_that_they_have():
    shelf, lengths = Shelf(16), (3, 7, 1)
    rows = [_tensors(length, seed) for seed, length in enumerate(lengths)]
    for row, (_, k, v) in enumerate(rows):
        shelf.rows.append(row)
        Slot(shelf, row).write(0, k[0], v[0])
        shelf.layers[0][0][row, :, lengths[row] + 1 :] = 50.0  # what must not be seen
    q, k, v = _tensors(3, 9)
    bias = torch.zeros(3, 1, 1, 8)
    for row, length in enumerate(lengths):
        bias[row, ..., length + 1 :] = -torch.inf
    at = torch.tensor([2, 0, 1])
    step = Step(lots=[Lot(shelf, torch.arange(3), at, torch.tensor(lengths), bias)])
    out, _ = cascade(MODULE, q, k, v, None, step=step)
    for row, place in enumerate(at.tolist()):
        keys, values = (
            torch.cat([old, new[:, :, place : place + 1]], 2) for old, new in zip(rows[row][1:], (k, v), strict=True)
        )
        torch.testing.assert_close(out[0, place : place + 1], _plain(q[:, :, place : place + 1], keys, values))


def test_halves_are_merged_in_fp32():
    beginning, before_k, before_v = _beginning(300, 5)
    q, k, v = _tensors(1, 6)
    for layer in beginning.layers:
        beginning.layers[layer] = tuple(x.bfloat16() for x in beginning.layers[layer])
    half = [x.bfloat16() for x in (q, k, v)]
    out, _ = cascade(MODULE, *half, None, step=Step(fresh=[Fresh(0, 1)], shared=[(0, 1, beginning)]))
    assert out.dtype == torch.bfloat16
    keys, values = (torch.cat(pair, 2) for pair in ((before_k, k), (before_v, v)))
    exact = _plain(*(x.bfloat16().float() for x in (q, keys, values)))
    assert (out.float()[0] - exact).abs().max() < 2**-8 * exact.abs().max()


@pytest.mark.parametrize("more", [{"sliding_window": 16}, {"softcap": 5.0}, {"s_aux": torch.zeros(2)}])
def test_what_it_does_not_know_is_refused(more):
    with pytest.raises(Foreign, match=next(iter(more))):
        cascade(MODULE, *_tensors(2), None, step=Step(fresh=[Fresh(0, 2)]), **more)


def test_a_mask_or_a_second_time_is_refused():
    step = Step(fresh=[Fresh(0, 2)])
    with pytest.raises(Foreign):
        cascade(MODULE, *_tensors(2), torch.zeros(1), step=step)
    cascade(MODULE, *_tensors(2), None, step=step, sliding_window=None)
    with pytest.raises(Foreign, match="twice"):
        cascade(MODULE, *_tensors(2), None, step=step)
