"""What was published gives the same bytes again; what was changed is found, and nothing hostile ends in a crash."""

import json
import shutil
from dataclasses import replace

import pytest

from edgelm.errors import InputError, MissingInput
from edgelm.files import canonical_json, sha256_bytes
from edgelm.report import FULL_MARK
from edgelm.rules.miniature import Miniature
from edgelm.score.board import Board, decided
from edgelm.score.checksums import SUMS, checksums
from edgelm.score.disqualification import Disqualification
from edgelm.score.entries import Entry
from edgelm.score.publish import publish
from edgelm.score.replay import counted, first_difference, replay
from edgelm.score.standings import entries_bytes, standings
from edgelm.score.write import board_csv, board_markdown

RULES = Miniature()
FIELD = {"red": ([1, 0, 1], [0, 1, 1, 1], 1), "blue": ([1, 1, 1], [0, 0, 0, 1], 2), "green": ([0, 0, 0], [1] * 4, 3)}


@pytest.fixture
def packages(submitted):
    return [submitted(team, {"gsm8k": gsm, "chid": chid}, seconds=s) for team, (gsm, chid, s) in FIELD.items()]


@pytest.fixture
def board(packages, tmp_path):
    out = tmp_path / "out"
    publish(RULES, packages, out, page=False)
    return out


def resign(board):
    """List the files as they now are, as somebody would who has changed them."""
    (board / SUMS).write_bytes(checksums(board))


def change(board, name, edit):
    path = board / name
    value = json.loads(path.read_bytes())
    edit(value)
    path.write_bytes(canonical_json(value))
    resign(board)


def test_a_published_board_gives_the_same_bytes(board):
    assert list(replay(board)) == []
    assert counted(board) == (6, 0)
    shutil.rmtree(board / "marks")
    resign(board)
    assert "marks" in next(replay(board))


SIGNED = ("Ada", "Bo")
LEAKED = {"chid": "leaked", "throughput": "no phone"}


@pytest.mark.parametrize(
    "made",
    [Board(state="live", revision=2), Board(state="frozen"), decided(RULES, "provisional", 1, void=LEAKED),
     decided(RULES, "final", 7, void=LEAKED, signatures=SIGNED)],
)  # fmt: skip
def test_every_state_can_be_replayed(packages, tmp_path, made):
    [standing] = publish(RULES, packages, tmp_path / "out", board=made, page=False)
    assert (standing.state, standing.revision) == (made.state, made.revision)
    assert list(replay(tmp_path / "out")) == []


def holding(submitted):
    """Rules that pin a public hold-out, and a package that was asked it."""
    rules = replace(RULES, tasks=("gsm8k", "holdout"), holdouts=("chid",), versions=("miniature-1/chid-0",))
    package = submitted("red", {"gsm8k": [1, 0], "chid": [1, 1]})
    manifest = json.loads((package / "edgelm.json").read_text())
    (package / "edgelm.json").write_text(json.dumps({**manifest, "rules": rules.digest}))
    return rules, package


def test_marks_of_holdouts_are_not_published_while_none_may_be_seen(submitted, tmp_path):
    rules, package = holding(submitted)
    for state, marks in (("live", 1), ("provisional", 2)):
        out = tmp_path / state
        publish(rules, [package], out, board=Board(state=state), page=False)
        assert len(list((out / "marks").iterdir())) == marks
        assert list(replay(out)) == []


def test_equal_input_gives_equal_folders(packages, tmp_path):
    for name in ("one", "two"):
        publish(RULES, packages if name == "one" else packages[::-1], tmp_path / name, page=False)
    assert (tmp_path / "one" / SUMS).read_bytes() == (tmp_path / "two" / SUMS).read_bytes()


ENTRIES, STANDINGS = "compression/entries.json", "compression/standings.json"


def test_a_changed_file_is_found_by_its_digest(board):
    (board / STANDINGS).write_bytes((board / STANDINGS).read_bytes() + b"\n")
    first, second = replay(board)
    assert first.startswith(f"{STANDINGS} has sha256")
    assert second == f"{STANDINGS}: it is not in canonical form"


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        (STANDINGS, lambda it: it["board"][0].update(total="99"), "standings.json: board[0].total is 99, computed is"),
        (STANDINGS, lambda it: it["board"].pop(), "standings.json: board[2] is nothing"),
        (STANDINGS, lambda it: it.update(more=1), "standings.json: more is 1, computed is nothing"),
        (ENTRIES, lambda it: it[0]["models"]["base"]["scores"].update(gsm8k="1"), "is stored, the marks give"),
        (ENTRIES, lambda it: it[0]["models"]["base"]["marks"].update(gsm8k="0" * 64), "are missing"),
        (ENTRIES, lambda it: it[0]["models"]["base"]["marks"].update(gsm8k="../x"), "are missing"),
        (ENTRIES, lambda it: it[0]["models"]["base"]["repeats_ns"].__setitem__(slice(None), [1, 1, 1]), "throughput: "),
        (ENTRIES, lambda it: it[0].update(team="gold"), "standings.json: board"),
        (ENTRIES, lambda it: it[0].update(reasons=["x"]), "is out by its entry, but by no decision: x"),
        ("compression/decisions.json", lambda it: it.update(revision=3), "revision is 1, computed is 3"),
    ],
)
def test_a_changed_figure_is_found_though_the_list_was_made_anew(board, name, edit, said):
    change(board, name, edit)
    assert said in next(replay(board))


def test_marks_that_are_weighed_otherwise_are_found(board):
    path = next(path for path in (board / "marks").iterdir() if b'"gsm8k"' in path.read_bytes())
    value = json.loads(path.read_bytes())
    value["strata"][""]["weight"] = "1/2"
    data = canonical_json(value)
    (board / "marks" / f"{sha256_bytes(data)}.json").write_bytes(data)
    change(board, ENTRIES, lambda it: [
        model["marks"].update(gsm8k=sha256_bytes(data))
        for entry in it for model in entry["models"].values() if model["marks"]["gsm8k"] == path.stem
    ])  # fmt: skip
    assert "weighed in another way" in next(replay(board))


def test_fewer_marks_than_the_pinned_data_have_rows_are_found(board):
    protocol = "opencompass-0.3.1/gsm8k-1d7fe4"
    data = canonical_json({"task": "gsm8k", "protocol": protocol, "answers": "0" * 64,
                           "strata": {"": {"weight": "1", "marks": [FULL_MARK]}}})  # fmt: skip
    (board / "marks" / f"{sha256_bytes(data)}.json").write_bytes(data)

    def edit(it):
        model = it[0]["models"]["base"]
        for name, value in (("marks", sha256_bytes(data)), ("protocols", protocol), ("scores", "100")):
            model[name].update(gsm8k=value)

    change(board, ENTRIES, edit)
    assert any("it has 1 marks, the pinned data have 1,319 rows" in found for found in replay(board))


def test_entries_in_another_form_are_found(board):
    name = board / ENTRIES
    for data in (name.read_bytes() + b"\n", name.read_bytes().replace(b'"parameters":7', b'"parameters":"7"')):
        name.write_bytes(data)
        resign(board)
        assert list(replay(board)) == [f"{ENTRIES}: it is not in canonical form"]


def forge(board, edit, rules=RULES, **decisions):
    """Change entries and decisions, and compute everything else anew, so that the whole fits together again."""
    track = board / "compression"
    rows = json.loads((track / "entries.json").read_bytes())
    edit({row["team"]: row for row in rows})
    entries = [Entry.model_validate(row) for row in rows]
    made = Board.model_validate({**json.loads((track / "decisions.json").read_bytes()), **decisions})
    again = standings(
        rules, rules.track("compression"), entries, void=made.void, state=made.state, revision=made.revision
    )
    (track / "entries.json").write_bytes(entries_bytes(entries))
    (track / "decisions.json").write_bytes(canonical_json(made.model_dump(mode="json")))
    (track / "standings.json").write_bytes(again.to_bytes())
    (track / "board.csv").write_text(board_csv(rules, again))
    (track / "board.md").write_text(board_markdown(rules, again))
    resign(board)


OUT = Disqualification(team="red", reason="copying", evidence="see file 7", signatures=("Ada", "Bo"))


def unmarked(task, protocol, score="99"):
    """An edit that gives red a score that rests on its report alone."""

    def edit(it):
        model = it["red"]["models"]["base"]
        model["marks"].pop("gsm8k")
        del model["protocols"]["gsm8k"], model["scores"]["gsm8k"]
        model["scores"][task] = score
        model["protocols"] |= {task: protocol} if protocol else {}

    return edit


@pytest.mark.parametrize(
    ("edit", "decisions", "said"),
    [
        (lambda it: None, {"disqualified": [OUT.model_dump()]}, "is decided to be out, but not by its entry: copying"),
        (lambda it: it["red"].update(reasons=[OUT.said]), {}, "is out by its entry, but by no decision: copying"),
        (lambda it: it["red"]["models"]["base"].update(repeats_ns=[], throughput="999"), {}, "the repeats give None"),
        (lambda it: it["red"]["models"]["base"].update(repeats_ns=[1], throughput="999"), {}, "the repeats give None"),
        (lambda it: it["red"]["models"]["base"].update(meter="guess"), {}, "memory: measured by 'guess'"),
        (unmarked("gsm8k", "easy-1/gsm8k-0"), {}, "scored by easy-1/gsm8k-0, the rules ask for miniature-1"),
        (unmarked("gsm8k", "miniature-1/gsm8k-9"), {}, "has scores by another protocol than the one that is compared"),
        (unmarked("gsm8k", ""), {}, "gsm8k: a score and its protocol belong together"),
        (unmarked("chess", "miniature-1/chess-0"), {}, "chess: the rules score no such task"),
        (unmarked("gsm8k", "miniature-1/gsm8k-0", score="250"), {}, "gsm8k: 250 is no percentage"),
    ],
)
def test_a_board_that_was_forged_as_a_whole_is_found(board, edit, decisions, said):
    forge(board, edit, **decisions)
    assert any(said in found and found.startswith("compression/entries.json: red ") for found in replay(board))


EVENT = {"revision": 2, "why": "", "signatures": []}


@pytest.mark.parametrize(
    ("decisions", "said"),
    [
        ({"state": "final"}, "it is final, which no two people have signed"),
        ({"state": "final", "log": [{**EVENT, "what": "provisional → final", "signatures": ["Bo", "bo"]}]}, "no two"),
        ({"void": ["chid"]}, "chid is void, for which the log has no reason"),
        ({"void": ["chid"], "log": [{**EVENT, "what": "void chid", "why": " "}]}, "chid is void"),
        ({"disqualified": [OUT.model_dump()]}, "red is out for 'copying', of which the log says nothing"),
        ({"disqualified": [OUT.model_dump()], "log": [{**EVENT, "what": "disqualify red", "why": "x"}]}, "red is out"),
    ],
)
def test_a_decision_that_nobody_made_is_found(board, decisions, said):
    edit = {"reasons": [OUT.said]} if "disqualified" in decisions else {}
    forge(board, lambda it: it["red"].update(edit), **decisions)
    [found] = replay(board)
    assert found.startswith("compression/decisions.json: ") and said in found


def test_decided_boards_are_sound(packages, tmp_path):
    made = decided(RULES, "provisional", 2, void={}, disqualified=[OUT])
    publish(RULES, packages, tmp_path / "out", board=made, page=False)
    assert list(replay(tmp_path / "out")) == []


def test_holdouts_in_a_live_board_are_found(submitted, tmp_path):
    rules, package = holding(submitted)
    publish(rules, [package], tmp_path / "out", page=False)
    forge(tmp_path / "out", lambda it: None, rules, state="live")
    assert any("red" in found and "shows a hold-out" in found for found in replay(tmp_path / "out"))


def test_marks_that_nobody_has_are_found(board):
    (board / "marks" / f"{'0' * 64}.json").write_text("{}")
    resign(board)
    assert list(replay(board)) == [f"marks/{'0' * 64}.json is named by no entry"]


@pytest.mark.parametrize("name", ["board.csv", "board.md"])
def test_a_changed_table_is_found(board, name):
    path = board / "compression" / name
    path.write_bytes(path.read_bytes().replace(b"red", b"RED"))
    resign(board)
    assert f"compression/{name}: line" in next(replay(board))


HOSTILE = [b"", b"{", b"[]", b"null", b'"x"', b"[[]]", b'[{"a":1}]', b"[" * 100_000, b"\xff", b'{"a":NaN}', b"1" * 5000,
           b'"\\ud800"']  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE)
@pytest.mark.parametrize("name", ["rules.json", ENTRIES, STANDINGS, "compression/decisions.json"])
def test_hostile_files_are_differences_or_input_errors(board, name, data):
    (board / name).write_bytes(data)
    resign(board)
    try:
        assert list(replay(board))
    except InputError as error:
        assert str(error)


HUGE = f"{'9' * 300}/{'7' * 299}1"


@pytest.mark.parametrize(
    "edit",
    [lambda it: it[0]["models"]["base"].update(marks={}, scores={"gsm8k": HUGE, "chid": HUGE}, repeats_ns=[],
                                               throughput=HUGE),
     lambda it: it[0].update(received="9999-12-31T23:59:59-23:59"), lambda it: it.append(it[0]), lambda it: it.clear(),
     lambda it: it[0].update(submission="\0"), lambda it: it[0]["models"]["base"].update(peak_memory=10**30)],
)  # fmt: skip
def test_hostile_entries_are_differences_or_input_errors(board, edit):
    change(board, ENTRIES, edit)
    try:
        assert list(replay(board))
    except InputError as error:
        assert str(error)


def test_what_is_no_board_is_refused(board, tmp_path):
    with pytest.raises(MissingInput):
        list(replay(tmp_path / "nowhere"))
    shutil.rmtree(board / "compression")
    resign(board)
    with pytest.raises(MissingInput, match="holds no board"):
        list(replay(board))


def test_the_first_difference_is_placed():
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "a[1].b is 2, computed is 3"
    assert first_difference({"a": True}, {"a": 1}) == "a is True, computed is 1"
    assert first_difference({"a": 1}, {"a": 1}) == ""
