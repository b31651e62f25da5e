"""Properties of scoring, numbered as in the specification, each on a thousand fields with many ties."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgelm
from edgelm.score.entries import Entry
from edgelm.score.selection import choices, field_of
from edgelm.score.standings import Standings, standings

SELECTIONS = ("pool", "double-pass", "guaranteed")
WEIGHTS = {"first": 1, "second": 1, "throughput": 2}
SIZES = (1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 5, 6, 9, 14)  # teams; large fields are rare, because they are slow
F4 = {"A": [(5, 5, 1), (6, 3, 3)], "B": [(3, 4, 4), (2, 2, 6)], "C": [(1, 1, 5), (4, 6, 2)]}
quick = settings(max_examples=1000, deadline=None)


def _random_score(random):
    """One score in ten is missing, and ties are common."""
    return None if random.random() < 0.1 else random.randint(0, 4)


def _random_vector(random):
    return tuple(_random_score(random) for _ in range(3))


def _random_field(random, teams=None):
    teams = teams or random.choice(SIZES)
    return {name: [_random_vector(random) for _ in range(random.randint(1, 3))] for name in "ABCDEFGHIJKLMN"[:teams]}


@st.composite
def fields(draw):
    """A field from a number of teams and a seed: drawn score by score it would take longer than it takes to rank it."""
    return _random_field(Random(draw(st.integers(0, 2**32 - 1))), draw(st.sampled_from(SIZES)))


vector = st.integers(0, 2**32 - 1).map(lambda seed: _random_vector(Random(seed)))


@pytest.fixture(scope="module")
def compute(rules, track, entries):
    by_selection = {selection: replace(rules, selection=selection) for selection in SELECTIONS}

    def of(field, selection="pool", void=()):
        return standings(by_selection[selection], track, entries(field), void=void)

    return of


class Outcome(NamedTuple):
    """What a selection rule makes of a field, without all that standings say beside it."""

    totals: dict[str, Fraction]  # by team
    values: dict[str, Fraction]  # by submission
    board: dict[str, str]  # the representative of each team


def outcomes(field):
    """What each selection rule makes of a field."""
    scored = [
        (_entry(team, number), dict(zip(WEIGHTS, row, strict=True)))
        for team, rows in field.items()
        for number, row in enumerate(rows, start=1)
    ]
    return {name: _told(choice) for name, choice in choices(field_of(scored, WEIGHTS), WEIGHTS, 10).items()}


def outcome(field, selection="pool"):
    return outcomes(field)[selection]


def _told(choice):
    totals = {submission[0]: ranked.total for submission, ranked in choice.board.items()}
    values = {submission: ranked.total for submission, ranked in choice.values.items()}
    return Outcome(totals, values, {submission[0]: submission for submission in choice.board})


@cache
def _entry(team, number):
    """Who a submission is; its scores stand beside it."""
    received = datetime(2024, 10, 1, tzinfo=UTC) + timedelta(seconds=number)
    return Entry(submission=f"{team}{number}", team=team, received=received, models={})


@quick
@given(fields(), st.randoms(use_true_random=False), st.sampled_from(SELECTIONS))
def test_order_changes_nothing(rules, track, entries, field, random, selection):  # 1
    ordered = entries(field)
    shuffled = [
        entry.model_copy(update={"models": {s: m.model_copy(update={"scores": dict(reversed(m.scores.items()))})
                                            for s, m in entry.models.items()}})
        for entry in ordered
    ]  # fmt: skip
    random.shuffle(shuffled)
    chosen = replace(rules, selection=selection)
    turned = replace(chosen, tasks=rules.tasks[::-1])
    expected = standings(chosen, track, ordered)
    assert standings(chosen, track, shuffled).to_bytes() == expected.to_bytes()
    other = standings(turned, track, ordered).model_copy(update={"rules_digest": expected.rules_digest})
    assert other.to_bytes() == expected.to_bytes()


@quick
@given(fields(), st.sampled_from(SELECTIONS))
def test_names_change_names_only(rules, track, entries, field, selection):  # 1
    chosen = replace(rules, selection=selection)
    made = entries(field)
    renamed = [entry.model_copy(update={"team": chr(ord("z") - ord(entry.team) + ord("A"))}) for entry in made]
    before = standings(chosen, track, made).board
    after = standings(chosen, track, renamed).board
    facts = [{(row.rank, row.submission, row.total) for row in board} for board in (before, after)]
    assert facts[0] == facts[1]


@quick
@given(fields(), st.sampled_from(SELECTIONS))
def test_only_the_order_of_scores_counts(field, selection):  # 4
    def cubed(row):
        return (None if row[0] is None else row[0] ** 3 + 7, *row[1:])

    stretched = {team: [cubed(row) for row in rows] for team, rows in field.items()}
    assert outcome(stretched, selection) == outcome(field, selection)


@quick
@given(fields(), st.data())
def test_missing_is_not_zero(field, data):  # 5
    team = data.draw(st.sampled_from(sorted(field)))
    task = data.draw(st.integers(0, 2))
    with_missing = {**field, team: [_with(field[team][0], task, None), *field[team][1:]]}
    with_zero = {**field, team: [_with(field[team][0], task, 0), *field[team][1:]]}
    before, after = outcome(with_missing).values, outcome(with_zero).values
    assert after[f"{team}1"] >= before[f"{team}1"]
    assert all(after[other] <= before[other] for other in before if other != f"{team}1")


@quick
@given(fields(), st.data())
def test_in_the_pool_a_higher_score_helps_and_a_rival_never_does(field, data):  # 6
    team = data.draw(st.sampled_from(sorted(field)))
    task = data.draw(st.integers(0, 2))
    own = field[team][0]
    before = outcome(field).values
    if own[task] is not None:
        raised = data.draw(st.integers(own[task] + 1, 6))
        after = outcome({**field, team: [_with(own, task, raised), *field[team][1:]]}).values
        assert after[f"{team}1"] >= before[f"{team}1"]
        assert all(after[other] <= before[other] for other in before if other != f"{team}1")
    after = outcome({**field, "Z": [data.draw(vector)]}).values
    assert all(after[other] <= before[other] for other in before)


@quick
@given(fields(), st.sampled_from(SELECTIONS), st.data())
def test_ineligible_is_absent(rules, track, entries, field, selection, data):  # 7
    chosen = replace(rules, selection=selection)
    made = entries(field)
    out = data.draw(st.sets(st.integers(0, len(made) - 1)))
    marked = [e.model_copy(update={"reasons": ("copied",)}) if i in out else e for i, e in enumerate(made)]
    absent = standings(chosen, track, [entry for i, entry in enumerate(made) if i not in out])
    present = standings(chosen, track, marked)
    assert len(present.ineligible) == len(out)
    evidence = {"ineligible": (), "entries_digest": absent.entries_digest}
    assert present.model_copy(update=evidence).to_bytes() == absent.to_bytes()


@quick
@given(fields())
def test_the_second_pass_lowers_no_total(field):  # 8
    pool, second = outcome(field), outcome(field, "double-pass")
    assert pool.board == second.board
    assert all(second.totals[team] >= total for team, total in pool.totals.items())


@quick
@given(fields(), st.data())
def test_what_guaranteed_guarantees(field, data):  # 9
    team = data.draw(st.sampled_from(sorted(field)))
    before = outcome(field, "guaranteed")
    assert all(before.totals[own] >= before.values[submission] for own, submission in before.board.items())
    repeated = {**field, team: [*field[team], data.draw(st.sampled_from(field[team]))]}
    assert outcome(repeated, "guaranteed").totals == before.totals
    further = {**field, team: [*field[team], data.draw(vector)]}
    assert _best(outcome(further, "guaranteed"), team) >= _best(before, team)


@quick
@given(fields(), st.data())
def test_under_guaranteed_weaker_copies_move_no_rival(field, data):  # 9, and what the rules page promises
    team = data.draw(st.sampled_from(sorted(field)))
    weaker = tuple(None if score is None else data.draw(st.integers(0, score)) for score in field[team][0])
    before, after = outcome(field, "guaranteed"), outcome({**field, team: [*field[team], weaker]}, "guaranteed")
    rivals = [{name: own for name, own in each.board.items() if name != team} for each in (before, after)]
    assert rivals[0] == rivals[1]


@quick
@given(fields(), st.sampled_from(SELECTIONS), st.sets(st.sampled_from(["first", "second", "throughput"]), max_size=2))
def test_totals_stay_within_the_maximum_and_all_is_exact(compute, field, selection, void):  # 10
    standing = compute(field, selection, void)
    assert standing.maximum == 40 - sum({"throughput": 20}.get(task, 10) for task in void)
    assert all(0 <= row.total <= standing.maximum for row in standing.board)
    kinds = {type(leaf) for leaf in _leaves(standing.model_dump())}
    assert kinds <= {Fraction, int, str, bool, type(None)}


@quick
@given(fields(), st.sampled_from(SELECTIONS))
def test_a_void_task_is_a_rule_set_without_it(rules, track, entries, field, selection):  # 11
    chosen = replace(rules, selection=selection)
    without = standings(replace(chosen, tasks=("first",)), track, entries(field))
    void = standings(chosen, track, entries(field), void=["second"])
    same = {"rules_digest": without.rules_digest, "void": ()}
    assert void.model_copy(update=same).to_bytes() == without.to_bytes()


@quick
@given(fields(), st.integers(1, 15))
def test_ranks_count_those_ahead_and_the_shown_list_splits_no_tie(rules, track, entries, field, shown):  # 14
    standing = standings(replace(rules, board_ranks=shown), track, entries(field))
    for row in standing.board:
        assert row.rank == 1 + sum(other.total > row.total for other in standing.board)
    assert standing.shown == standing.board[: len(standing.shown)]
    hidden = standing.board[len(standing.shown) :]
    assert all(row.rank > shown for row in hidden)
    assert len(standing.shown) >= min(shown, len(standing.board))


@quick
@given(fields())
def test_entries_and_standings_survive_json(rules, track, entries, field):  # 18
    made = entries(field)
    parsed = [Entry.model_validate(json.loads(entry.model_dump_json())) for entry in made]
    first = standings(rules, track, made)
    assert standings(rules, track, parsed).to_bytes() == first.to_bytes()
    assert Standings.model_validate(json.loads(first.to_bytes())).to_bytes() == first.to_bytes()


# Other versions of Python to compare with, each with pydantic and the other packages of the core, by path.
PYTHONS = [sys.executable, *os.environ.get("EDGELM_PYTHONS", "").split()]


@pytest.mark.parametrize("python", PYTHONS)
def test_processes_with_other_hash_seeds_and_pythons_agree(rules, track, entries, python):  # 18
    made = entries(F4)
    script = (
        "import sys, json\n"
        "from edgelm.rules.base import Rules, Track\n"
        "from edgelm.score.entries import Entry\n"
        "from edgelm.score.standings import standings\n"
        "track = Track('from-scratch', 'from-scratch', ('model',))\n"
        "rules = Rules(name='three', tracks=(track,), tasks=('first', 'second'))\n"
        "entries = [Entry.model_validate(row) for row in json.load(sys.stdin)]\n"
        "sys.stdout.buffer.write(standings(rules, track, entries).to_bytes())\n"
    )
    rows = json.dumps([entry.model_dump(mode="json") for entry in made]).encode()
    source = str(Path(edgelm.__file__).parents[1])
    for seed in ("1", "2"):
        told = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": source}
        run = subprocess.run([python, "-c", script], input=rows, capture_output=True, env=told)
        assert run.stdout == standings(rules, track, made).to_bytes(), run.stderr.decode()


@pytest.mark.parametrize("block", range(10))
def test_a_slow_count_of_places_agrees(block):  # 19
    for number in range(1000):
        field = _random_field(Random(f"{block}/{number}"))
        for selection, made in outcomes(field).items():
            assert made.totals == _slow_totals(field, selection), (field, selection)


# What the properties are made of


def _with(row, task, score):
    return (*row[:task], score, *row[task + 1 :])


def _best(made, team):
    return max(value for submission, value in made.values.items() if submission[0] == team)


def _leaves(value):
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _slow_points(company, me):
    """Points of one in a company of score vectors, by handing out the places one by one."""
    points = []
    for task, weight in enumerate((1, 1, 2)):
        held = defaultdict(list)
        entrants = sorted((row[task] for row in company.values() if row[task] is not None), reverse=True)
        for place, score in enumerate(entrants, start=1):
            held[score].append(max(11 - place, 0))
        own = company[me][task]
        points.append(Fraction(0) if own is None else weight * Fraction(sum(held[own]), len(held[own])))
    return points


def _slow_totals(field, selection):
    everyone = {(team, n): row for team, rows in field.items() for n, row in enumerate(rows)}

    def best_of(team):
        return tuple(max((row[t] for row in field[team] if row[t] is not None), default=None) for t in range(3))

    def value(key):
        if selection != "guaranteed":
            return _slow_points(everyone, key)
        rivals = {(team, "best"): best_of(team) for team in field if team != key[0]}
        return _slow_points({**rivals, key: everyone[key]}, key)

    valued = {key: value(key) for key in everyone}
    chosen = {}
    for team, rows in field.items():  # max keeps the first of equals, which was received earlier
        chosen[team] = max(range(len(rows)), key=lambda n: (sum(valued[team, n]), valued[team, n][2]))
    if selection == "pool":
        return {team: sum(valued[team, n]) for team, n in chosen.items()}
    board = {(team, n): everyone[team, n] for team, n in chosen.items()}
    return {team: sum(_slow_points(board, (team, n))) for team, n in chosen.items()}
