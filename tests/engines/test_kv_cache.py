"""Keys and values stay with their row, wherever rows move, and nothing of one row is left for another."""

from random import Random

import pytest
import torch

from edgelm.engines.kv_cache import SLOTS, Beginning, Cache, width_for

LAYERS = {0: (2, 4, 4), 1: (3, 8, 2)}  # heads, key size and value size: layers may differ in all of them


def _made(row, first, last):
    """What the layers made of a row's tokens: every number tells its row and its token."""
    for layer, (heads, *sizes) in LAYERS.items():
        tokens = torch.arange(first, last, dtype=torch.float32)[None, :, None] + 1000 * row
        yield layer, *(tokens.expand(heads, -1, size) for size in sizes)


def _place(cache, row, tokens):
    slot = cache.place(row, tokens)
    for layer, k, v in _made(row, 0, tokens):
        slot.write(layer, k, v)


def _go_on(cache):
    """One more token for every row, as a step writes it."""
    cache.make_room()
    for shelf in cache.shelves.values():
        for slot, row in enumerate(shelf.rows):
            length = cache.lengths[row]
            for layer, *new in _made(row, length, length + 1):
                for kept, x in zip(shelf.layer(layer, *new), new, strict=True):
                    kept[slot, :, length] = x[:, 0]
            cache.lengths[row] += 1


def _require_right(cache):
    rows = [row for shelf in cache.shelves.values() for row in shelf.rows]
    assert sorted(rows) == sorted(cache.lengths)
    for shelf in cache.shelves.values():
        for slot, row in enumerate(shelf.rows):
            length = cache.lengths[row]
            for layer, *wanted in _made(row, 0, length):
                for kept, x in zip(shelf.layers[layer], wanted, strict=True):
                    assert torch.equal(kept[slot, :, :length], x)
                    assert kept.shape[2] == shelf.width and kept[slot].isfinite().all()


def test_rows_that_grow_come_and_go_keep_what_is_theirs():
    random, cache = Random(0), Cache()
    for number in range(120):
        if number < 60:
            _place(cache, number, random.randint(1, 150))
        cache.remove([row for row in list(cache.lengths) if random.random() < 0.03])
        _go_on(cache)
        _require_right(cache)
    assert len(cache.shelves) > 3
    cache.remove(list(cache.lengths))
    assert not any(shelf.rows or shelf.layers for shelf in cache.shelves.values())


def test_what_an_ended_row_left_is_cleared():
    cache = Cache()
    for row in (0, 1):
        _place(cache, row, 40)
    shelf = cache.shelves[64]
    for layers in shelf.layers.values():
        for kept in layers:
            kept[1] = torch.nan
    cache.remove([1])
    _place(cache, 2, 3)
    assert shelf.rows == [0, 2]
    assert all(kept[:2].isfinite().all() for layers in shelf.layers.values() for kept in layers)


def test_what_a_moved_row_finds_beyond_its_tokens_is_cleared():
    cache = Cache()
    _place(cache, 0, 70)
    _place(cache, 1, 80)
    for layers in cache.shelves[96].layers.values():
        for kept in layers:
            kept[1] = torch.nan
    cache.remove([1])
    _place(cache, 2, 63)
    _go_on(cache)
    _go_on(cache)
    assert cache.shelves[96].rows == [0, 2]
    _require_right(cache)


def test_a_shelf_grows_by_some_rows_at_a_time():
    cache = Cache()
    for row in range(SLOTS + 1):
        _place(cache, row, 5)
    _require_right(cache)
    assert len(cache.shelves[64].layers[0][0]) == 2 * SLOTS


def test_long_rows_leave_no_more_empty_than_they_fill():
    cache = Cache()
    _place(cache, 0, 20_000)
    shelf = cache.shelves[24576]
    assert len(shelf.layers[0][0]) == 1
    _place(cache, 1, 20_000)
    _require_right(cache)
    assert len(shelf.layers[0][0]) == 2


def test_a_beginning_is_kept_whole():
    beginning = Beginning()
    for layer, k, v in _made(7, 0, 5):
        beginning.write(layer, k, v)
    assert beginning.layers[1][0].shape == (1, 3, 5, 8) and beginning.layers[1][0].is_contiguous()


@pytest.mark.parametrize(("tokens", "width"), [(1, 64), (64, 64), (65, 96), (97, 128), (129, 192), (700, 768)])
def test_widths(tokens, width):
    assert width_for(tokens) == width
