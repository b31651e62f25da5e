"""A published board computed again from what lies beside it, byte for byte. Rule R11.5 of the rule set.

Read are the rules, the entries with their marks, and the decisions; compared are every file's digest, the entries with
rules and decisions, every score that has marks, every throughput, and the standings with their table in all forms. The
page is held by its digest alone: other versions of the plotting library draw other curves.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from edgelm.checkpoint import validate
from edgelm.data.pinned_rows import pinned_rows
from edgelm.errors import BadFile, MissingInput
from edgelm.files import parse_json, read_bytes, sha256_bytes
from edgelm.rules.base import Rules
from edgelm.rules.stored import parse_rules
from edgelm.score.board import Board, unfounded
from edgelm.score.checksums import against_list, listed
from edgelm.score.consistency import inconsistencies
from edgelm.score.entries import Entry, SlotModel
from edgelm.score.marks import Marks, stratum_weights
from edgelm.score.standings import entries_bytes, standings
from edgelm.score.write import (
    BOARD_CSV,
    BOARD_MD,
    DECISIONS,
    ENTRIES,
    MARKS,
    RULES,
    STANDINGS,
    board_csv,
    board_markdown,
)

_LARGEST = 256 << 20  # bytes of one file that is read
_ABSENT = "nothing"


class Counted(NamedTuple):
    """How much of a board follows from marks: scores with them, and scores that rest on a report."""

    marked: int
    reported: int


def replay(folder: Path) -> Iterator[str]:
    """Every difference between a published board and what its own files give; nothing if it holds.

    Raises:
        MissingInput: it is no published board, or its list lacks an essential file, which is not there either.
        BadFile: a file that must be read cannot be.
        UnknownName: the rules know nothing of a track or task that it names.
    """
    yield from against_list(folder)
    if not all((folder / name).is_file() for name in listed(folder)):
        return  # it has been said, and with less than all there is nothing to compute
    rules = parse_rules(_read(folder / RULES), folder / RULES)
    for track in _tracks(folder):
        try:
            yield from _track(folder, track, rules)
        except (ValueError, ArithmeticError, RecursionError) as error:  # numbers without end, and the like
            raise BadFile(f"{folder / track} cannot be computed", why=str(error)[:200], mend="take another") from None
    named = {f"{MARKS}/{digest}.json" for model in _models(folder) for digest in model.marks.values()}
    yield from (f"{name} is named by no entry" for name in listed(folder) if name.startswith(f"{MARKS}/")
                and name not in named)  # fmt: skip


def counted(folder: Path) -> Counted:
    """How many scores of the board follow from published marks, and how many do not."""
    models = _models(folder)
    marked = sum(len(model.marks) for model in models)
    return Counted(marked, sum(len(model.scores) for model in models) - marked)


def first_difference(stored: Any, computed: Any, place: str = "") -> str:
    """Where two JSON values first differ, and by what; empty if they are equal."""
    if isinstance(stored, dict) and isinstance(computed, dict):
        pairs = [(f"{place}.{key}", stored.get(key, _ABSENT), computed.get(key, _ABSENT))
                 for key in sorted({*stored, *computed})]  # fmt: skip
    elif isinstance(stored, list) and isinstance(computed, list):
        both = zip_longest(stored, computed, fillvalue=_ABSENT)
        pairs = [(f"{place}[{number}]", a, b) for number, (a, b) in enumerate(both)]
    else:
        same = stored == computed and type(stored) is type(computed)
        return "" if same else f"{place.lstrip('.')} is {str(stored)[:80]}, computed is {str(computed)[:80]}"
    return next((found for inner, a, b in pairs if (found := first_difference(a, b, inner))), "")


def _track(folder: Path, track: str, rules: Rules) -> Iterator[str]:
    place = folder / track
    board = validate(Board, parse_json(_read(place / DECISIONS), place / DECISIONS), place / DECISIONS)
    if board.state == "draft":
        raise BadFile(f"{place / DECISIONS} is of a draft", why="a draft has no standings", mend="take a later one")
    yield from (f"{track}/{DECISIONS}: {found}" for found in unfounded(board))
    entries = _entries(place)
    if _read(place / ENTRIES) != entries_bytes(entries):
        yield f"{track}/{ENTRIES}: it is not in canonical form"
    yield from (f"{track}/{ENTRIES}: {found}" for found in inconsistencies(rules, board, board.state, entries))
    for entry in entries:
        for slot, model in entry.models.items():
            yield from (f"{track}: {entry.team}, {slot}, {found}" for found in _marked(folder, model))
    again = standings(rules, rules.track(track), entries, void=board.void, state=board.state, revision=board.revision)
    stored = _read(place / STANDINGS)
    if stored != again.to_bytes():
        told = first_difference(parse_json(stored, place / STANDINGS), parse_json(again.to_bytes(), "the computed"))
        yield f"{track}/{STANDINGS}: {told or 'it is not in canonical form'}"
    for name, text in ((BOARD_CSV, board_csv(rules, again)), (BOARD_MD, board_markdown(rules, again))):
        if found := _first_line(_read(place / name), text.encode()):
            yield f"{track}/{name}: {found}"


def _marked(folder: Path, model: SlotModel) -> Iterator[str]:
    """What speaks against the scores of one model that have marks."""
    for task, digest in sorted(model.marks.items()):
        if found := _score(folder, model, task, digest):
            yield f"{task}: {found}"


def _score(folder: Path, model: SlotModel, task: str, digest: str) -> str:
    """What speaks against one score; empty if its marks give it."""
    name = f"{MARKS}/{digest}.json"
    if not (len(digest) == 64 and digest.isalnum() and (folder / name).is_file()):
        return f"the marks {digest[:12]} are missing"
    data = _read(folder / name)
    marks = validate(Marks, parse_json(data, name), name)
    if sha256_bytes(data) != digest:
        return f"{name} holds other marks than its name says"
    if (marks.task, marks.protocol) != (task, model.protocols.get(task)):
        return f"its marks are of {marks.task} by {marks.protocol}"
    sizes = {subset or None: len(stratum.marks) for subset, stratum in marks.strata.items()}
    rows = pinned_rows(task, marks.protocol)
    if rows not in (None, sum(sizes.values())):
        return f"it has {sum(sizes.values()):,} marks, the pinned data have {rows:,} rows"
    if stratum_weights(task, sizes) != {subset or None: stratum.weight for subset, stratum in marks.strata.items()}:
        return "its subsets are weighed in another way than the task weighs them"
    if marks.score != model.scores.get(task):
        return f"{model.scores.get(task)} is stored, the marks give {marks.score}"
    return ""


def _tracks(folder: Path) -> list[str]:
    """The tracks of a published board.

    Raises:
        MissingInput: there is none.
    """
    found = sorted(name.removesuffix(f"/{STANDINGS}") for name in listed(folder) if name.endswith(f"/{STANDINGS}"))
    if not found:
        raise MissingInput(f"{folder} holds no board", mend="give the folder that edgelm score wrote")
    return found


def _models(folder: Path) -> list[SlotModel]:
    """The models of all entries of all tracks."""
    return [model for track in _tracks(folder) for entry in _entries(folder / track) for model in entry.models.values()]


def _entries(place: Path) -> list[Entry]:
    rows = parse_json(_read(place / ENTRIES), place / ENTRIES)
    if not isinstance(rows, list):
        raise BadFile(f"{place / ENTRIES} is no list of entries", mend="take the published one")
    return [validate(Entry, row, place / ENTRIES) for row in rows]


def _read(path: Path) -> bytes:
    return read_bytes(path, _LARGEST)


def _first_line(stored: bytes, computed: bytes) -> str:
    """The first line in which two texts differ; empty if they are equal."""
    lines = zip_longest(stored.splitlines(keepends=True), computed.splitlines(keepends=True), fillvalue=b"")
    different = (number for number, (a, b) in enumerate(lines, start=1) if a != b)
    return next((f"line {number} is not the computed one" for number in different), "")
