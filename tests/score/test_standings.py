import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.errors import BadOption
from edgelm.rules.neurips_2024 import Neurips2024
from edgelm.score.entries import Entry
from edgelm.score.standings import Standings, ranks, standings

SELECTIONS = ("pool", "double-pass", "guaranteed")
few = st.one_of(st.none(), *[st.integers(0, 4)] * 9)  # one score in ten is missing, and ties are common
vector = st.tuples(few, few, few)
fields = st.dictionaries(
    st.sampled_from("ABCDEFGHIJKLMN"), st.lists(vector, min_size=1, max_size=3), min_size=1, max_size=14
)
quick = settings(max_examples=50, deadline=None)


@pytest.fixture(scope="session")
def compute(rules, track, entries):
    def of(field, selection="pool", void=()):
        return standings(replace(rules, selection=selection), track, entries(field), void=void)

    return of


def totals(standing):
    return {row.team: row.total for row in standing.board}


def values(standing):
    return {row.submission: row.value for row in standing.submissions}


# Golden cases


@pytest.mark.parametrize(
    ("given_totals", "expected"),
    [([80, 75, 75, 60], [1, 2, 2, 4]), ([*range(17, 2, -1), 3, 1], [*range(1, 15), 15, 15, 17])],
)
def test_equal_totals_share_a_rank(given_totals, expected):  # G-19, G-20
    got = ranks({str(i): Fraction(total) for i, total in enumerate(given_totals)})
    assert [got[str(i)] for i in range(len(expected))] == expected


def test_the_board_shows_a_tie_at_its_end_whole(rules, track, entries):  # G-20
    # The scale of 20 places keeps all totals apart except that of the two teams that share rank 15.
    names = "ABCDEFGHIJKLMNOPQ"
    scores = [*range(17, 3, -1), 3, 3, 1]
    field = {name: [(score, score, score)] for name, score in zip(names, scores, strict=True)}
    standing = standings(replace(rules, places=20), track, entries(field))
    assert [row.rank for row in standing.board] == [*range(1, 15), 15, 15, 17]
    assert [row.team for row in standing.shown] == list(names[:16])


@pytest.mark.parametrize(
    ("void", "total"), [([], 100), (["longbench"], 90), (["longbench", "throughput"], 70), (["throughput"], 80)]
)
def test_first_on_everything_reaches_the_maximum(entries, void, total):  # G-21
    rules = Neurips2024()
    track = rules.track("from-scratch")
    standing = standings(rules, track, entries({"A": [[9] * 9], "B": [[8] * 9]}, rules), void=void)
    assert totals(standing)["A"] == standing.maximum == total


def test_two_published_claims(entries):  # G-22
    rules = Neurips2024()
    order = ("commonsenseqa", "bbh", "gsm8k", "humaneval", "chid", "truthfulqa")
    claims = {"X": "8.93 16.80 2.43 0 3.75 15", "Y": "0 0.85 1.36 0 13.09 10"}
    field = {}
    for team, claim in claims.items():
        scores = dict(zip(order, map(Fraction, claim.split()), strict=True))
        field[team] = [[scores.get(task) for task in rules.weights]]
    standing = standings(rules, rules.track("from-scratch"), entries(field, rules))
    assert totals(standing) == {"X": Fraction(117, 2), "Y": Fraction(111, 2)}


F4 = {"A": [(5, 5, 1), (6, 3, 3)], "B": [(3, 4, 4), (2, 2, 6)], "C": [(1, 1, 5), (4, 6, 2)]}


def test_sensitivity_names_three_winners_for_three_rules(compute):  # F-4
    table = {row.selection: row for row in compute(F4).sensitivity}
    assert {name: row.winners for name, row in table.items()} == {
        "pool": ("B",), "double-pass": ("A",), "guaranteed": ("C",),
    }  # fmt: skip
    assert (table["pool"].moved, table["pool"].largest_move) == ((), 0)
    assert (table["double-pass"].moved, table["double-pass"].largest_move) == (("A", "B"), 1)
    assert (table["guaranteed"].moved, table["guaranteed"].largest_move) == (("A", "B", "C"), 2)
    assert table["guaranteed"].podium == ("C", "B", "A")


def test_a_missing_score_has_no_place(compute):
    [row] = compute({"A": [(None, 0, 1)]}).board
    assert (row.tasks["first"].place, row.tasks["first"].points) == (None, 0)
    assert (row.tasks["second"].place, row.tasks["second"].tied, row.tasks["second"].points) == (1, 1, 10)


def test_a_team_without_an_eligible_submission_is_not_on_the_board(rules, track, entries):
    made = entries({"A": [(1, 1, 1)], "B": [(2, 2, 2)]}, memory=rules.memory_limit)
    standing = standings(rules, track, made)
    assert (standing.board, len(standing.ineligible)) == ((), 2)
    assert standing.sensitivity[0].winners == ()


def test_an_id_may_come_once(rules, track, entries):
    with pytest.raises(BadOption, match="A1 comes twice"):
        standings(rules, track, entries({"A": [(1,)]}) * 2)


# Properties, numbered as in the specification


@quick
@given(fields, st.randoms(use_true_random=False), st.sampled_from(SELECTIONS))
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
@given(fields, st.sampled_from(SELECTIONS))
def test_names_change_names_only(rules, track, entries, field, selection):  # 1
    chosen = replace(rules, selection=selection)
    made = entries(field)
    renamed = [entry.model_copy(update={"team": chr(ord("z") - ord(entry.team) + ord("A"))}) for entry in made]
    before = standings(chosen, track, made).board
    after = standings(chosen, track, renamed).board
    facts = [{(row.rank, row.submission, row.total) for row in board} for board in (before, after)]
    assert facts[0] == facts[1]


@quick
@given(fields, st.sampled_from(SELECTIONS))
def test_only_the_order_of_scores_counts(compute, field, selection):  # 4
    def cubed(row):
        return (None if row[0] is None else row[0] ** 3 + 7, *row[1:])

    stretched = {team: [cubed(row) for row in rows] for team, rows in field.items()}
    before, after = compute(field, selection), compute(stretched, selection)
    assert totals(before) == totals(after)
    assert before.sensitivity == after.sensitivity


@quick
@given(fields, st.data())
def test_missing_is_not_zero(compute, field, data):  # 5
    team = data.draw(st.sampled_from(sorted(field)))
    task = data.draw(st.integers(0, 2))
    with_missing = {**field, team: [_with(field[team][0], task, None), *field[team][1:]]}
    with_zero = {**field, team: [_with(field[team][0], task, 0), *field[team][1:]]}
    before, after = values(compute(with_missing)), values(compute(with_zero))
    assert after[f"{team}1"] >= before[f"{team}1"]
    assert all(after[other] <= before[other] for other in before if other != f"{team}1")


@quick
@given(fields, st.data())
def test_in_the_pool_a_higher_score_helps_and_a_rival_never_does(compute, field, data):  # 6
    team = data.draw(st.sampled_from(sorted(field)))
    task = data.draw(st.integers(0, 2))
    own = field[team][0]
    before = values(compute(field))
    if own[task] is not None:
        raised = data.draw(st.integers(own[task] + 1, 6))
        after = values(compute({**field, team: [_with(own, task, raised), *field[team][1:]]}))
        assert after[f"{team}1"] >= before[f"{team}1"]
        assert all(after[other] <= before[other] for other in before if other != f"{team}1")
    after = values(compute({**field, "Z": [data.draw(vector)]}))
    assert all(after[other] <= before[other] for other in before)


@quick
@given(fields, st.sampled_from(SELECTIONS), st.data())
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
@given(fields)
def test_the_second_pass_lowers_no_total(compute, field):  # 8
    pool, second = compute(field), compute(field, "double-pass")
    assert {row.team: row.submission for row in pool.board} == {row.team: row.submission for row in second.board}
    assert all(totals(second)[team] >= total for team, total in totals(pool).items())


@quick
@given(fields, st.data())
def test_what_guaranteed_guarantees(compute, field, data):  # 9
    team = data.draw(st.sampled_from(sorted(field)))
    before = compute(field, "guaranteed")
    assert all(row.total >= values(before)[row.submission] for row in before.board)
    repeated = {**field, team: [*field[team], data.draw(st.sampled_from(field[team]))]}
    assert totals(compute(repeated, "guaranteed")) == totals(before)
    further = {**field, team: [*field[team], data.draw(vector)]}
    assert _best(compute(further, "guaranteed"), team) >= _best(before, team)


@quick
@given(fields, st.sampled_from(SELECTIONS), st.sets(st.sampled_from(["first", "second", "throughput"]), max_size=2))
def test_totals_stay_within_the_maximum_and_all_is_exact(compute, field, selection, void):  # 10
    standing = compute(field, selection, void)
    assert standing.maximum == 40 - sum({"throughput": 20}.get(task, 10) for task in void)
    assert all(0 <= row.total <= standing.maximum for row in standing.board)
    kinds = {type(leaf) for leaf in _leaves(standing.model_dump())}
    assert kinds <= {Fraction, int, str, bool, type(None)}


@quick
@given(fields, st.sampled_from(SELECTIONS))
def test_a_void_task_is_a_rule_set_without_it(rules, track, entries, field, selection):  # 11
    chosen = replace(rules, selection=selection)
    without = standings(replace(chosen, tasks=("first",)), track, entries(field))
    void = standings(chosen, track, entries(field), void=["second"])
    same = {"rules_digest": without.rules_digest, "void": ()}
    assert void.model_copy(update=same).to_bytes() == without.to_bytes()


@quick
@given(fields, st.integers(1, 15))
def test_ranks_count_those_ahead_and_the_shown_list_splits_no_tie(rules, track, entries, field, shown):  # 14
    standing = standings(replace(rules, board_ranks=shown), track, entries(field))
    for row in standing.board:
        assert row.rank == 1 + sum(other.total > row.total for other in standing.board)
    assert standing.shown == standing.board[: len(standing.shown)]
    hidden = standing.board[len(standing.shown) :]
    assert all(row.rank > shown for row in hidden)
    assert len(standing.shown) >= min(shown, len(standing.board))


@quick
@given(fields)
def test_entries_and_standings_survive_json(rules, track, entries, field):  # 18
    made = entries(field)
    parsed = [Entry.model_validate(json.loads(entry.model_dump_json())) for entry in made]
    first = standings(rules, track, made)
    assert standings(rules, track, parsed).to_bytes() == first.to_bytes()
    assert Standings.model_validate(json.loads(first.to_bytes())).to_bytes() == first.to_bytes()


def test_two_processes_with_other_hash_seeds_agree(rules, track, entries):  # 18
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
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", script], input=rows, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}
        )
        assert run.stdout == standings(rules, track, made).to_bytes(), run.stderr.decode()


@settings(max_examples=100, deadline=None)
@given(fields)
def test_a_slow_count_of_places_agrees(compute, field):  # 19
    for selection in SELECTIONS:
        assert totals(compute(field, selection)) == _slow_totals(field, selection)


# What the properties are made of


def _with(row, task, score):
    return (*row[:task], score, *row[task + 1 :])


def _best(standing, team):
    return max(row.value for row in standing.submissions if row.team == team)


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
