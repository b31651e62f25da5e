"""Leases: whatever workers do, every question is answered or named, and what belongs together stays together."""

import random

import pytest

from edgelm.chat import ask
from edgelm.engines.base import Request
from edgelm.evaluate.leases import DEATHS, Leases, units
from edgelm.tasks.base import Sample


def _rows(number, subset=None, length=10, start=0):
    samples = [Sample(f"{subset}-{n}", n, ask("x" * length), "", subset) for n in range(start, start + number)]
    return [(each, Request(f"{subset}{each.index}", each.index, each.prompt, 8)) for each in samples]


def _keys(chunk):
    return [request.key for request in chunk]


def test_units_are_whole_runs_of_places_and_gaps_stay_gaps():
    rows = [row for row in _rows(10) if row[1].index not in (1, 4, 5)]
    made = units("t", reversed(rows), 3)
    assert [[request.index for request in unit.requests] for unit in made] == [[0, 2], [3], [6, 7, 8], [9]]
    assert {unit.group for unit in made} == {("t", None)}


@pytest.mark.parametrize("seed", range(40))
def test_every_question_is_answered_or_named_whatever_workers_do(seed):
    chance = random.Random(seed)
    rows = _rows(chance.randrange(1, 60), "a") + _rows(chance.randrange(1, 30), "b", 50, start=60)
    together, workers = chance.randrange(1, 5), chance.randrange(1, 5)
    waiting = units("t", rows, together)
    poison = {request.key for unit in chance.sample(waiting, min(len(waiting), seed % 3)) for request in unit.requests}
    leases, answered, lent, deaths = Leases(waiting, workers), [], {}, 0
    while not leases.done:
        worker = chance.randrange(workers)
        if worker not in lent:
            if chunk := leases.lend(worker):
                lent[worker] = _keys(chunk)
            continue
        left = lent[worker]
        if left and left[0] not in poison and chance.random() < 0.9:
            size = chance.randrange(1, len(left) + 1)
            size = next((n for n in range(size) if left[n] in poison), size)
            leases.answered(worker, left[:size])
            answered += left[:size]
            lent[worker] = left[size:]
        elif left and (left[0] in poison or (chance.random() < 0.3 and deaths < DEATHS - 1)):
            deaths += left[0] not in poison
            leases.lost(worker)
            del lent[worker]
        elif not left:
            leases.returned(worker)
            del lent[worker]
    aside = [request.key for unit in leases.set_aside for request in unit.requests]
    assert sorted(answered + aside) == sorted(request.key for _, request in rows), "each once"
    assert set(aside) >= poison if poison else not aside
    of_unit = {request.key: number for number, unit in enumerate(waiting) for request in unit.requests}
    assert {of_unit[key] for key in aside} == {of_unit[key] for key in poison}, "nobody else's are named"


def test_chunks_shrink_and_the_longest_come_first():
    leases = Leases(units("t", _rows(60) + _rows(4, length=900, start=60), 1), 2)
    sizes = []
    while chunk := leases.lend(0):
        sizes.append(len(chunk))
        if len(sizes) == 1:
            assert {request.index for request in chunk} <= {60, 61, 62, 63}
        leases.answered(0, _keys(chunk))
        leases.returned(0)
    assert sum(sizes) == 64 and leases.done
    assert sizes[-1] == 1 and sizes[2:] == sorted(sizes[2:], reverse=True)
    assert len(sizes) < 30, "few chunks, not one for each row"


def test_workers_keep_to_groups_of_their_own_while_these_last():
    leases = Leases(units("t", _rows(20, "a") + _rows(20, "b", start=20), 1), 2)
    groups = {0: set(), 1: set()}
    for worker in (0, 1) * 3:
        chunk = leases.lend(worker)
        groups[worker] |= {request.key[0] for request in chunk}
        leases.answered(worker, _keys(chunk))
        leases.returned(worker)
    assert len(groups[0]) == len(groups[1]) == 1 and groups[0] != groups[1]


def test_what_outlived_a_worker_is_lent_alone_after_all_else_and_then_set_aside():
    leases = Leases(units("t", _rows(8), 1), 1)
    first = leases.lend(0)
    assert len(first) > 1
    leases.answered(0, [first[0].key])
    leases.lost(0)
    suspects = _keys(first)[1:]
    alone = []
    while chunk := leases.lend(0):
        if chunk[0].key in suspects:
            assert len(chunk) == 1
            alone.append(chunk[0].key)
        if chunk[0].key == suspects[0]:
            leases.lost(0)
            continue
        assert not set(suspects) & set(_keys(chunk)) or len(chunk) == 1
        leases.answered(0, _keys(chunk))
        leases.returned(0)
    assert alone.count(suspects[0]) == DEATHS - 1
    assert [request.key for unit in leases.set_aside for request in unit.requests] == suspects[:1] and leases.done


def test_a_silent_worker_is_found_and_one_that_shows_life_is_not():
    now = [0.0]
    leases = Leases(units("t", _rows(8), 1), 2, patience=100, clock=lambda: now[0])
    mute, slow = leases.lend(0), leases.lend(1)
    now[0] = 90
    leases.answered(1, [])
    now[0] = 110
    assert leases.silent() == [0]
    leases.lost(0)
    assert leases.silent() == []
    leases.answered(0, _keys(mute))  # late, from one that was taken for lost
    leases.answered(1, _keys(slow))
    leases.returned(1)
    assert not leases.done and set(_keys(leases.lend(2))) <= {f"None{n}" for n in range(8)}
