"""Submissions in, boards out: the standings of every track that they are for, in one folder that can be replayed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from edgelm.errors import MissingInput
from edgelm.files import sha256_bytes, write_bytes
from edgelm.folders import new_folder
from edgelm.report import Report
from edgelm.rules.base import Rules
from edgelm.score.board import Board, shown_entries, standing
from edgelm.score.checksums import SIGNATURE, SUMS, checksums
from edgelm.score.collect import Unread, collect, reference_entry
from edgelm.score.disqualification import require_concerned
from edgelm.score.entries import Entry
from edgelm.score.page import render
from edgelm.score.protocols import common, hold_to
from edgelm.score.released import Keep
from edgelm.score.standings import Standings
from edgelm.score.write import MARKS, RULES, write_standings

REFERENCE = "base"
PROVISIONAL = Board(state="provisional", revision=1)
Sign = Callable[[bytes], bytes]


def publish(
    rules: Rules,
    submissions: Iterable[str | os.PathLike[str]],
    out: Path,
    *,
    reference: Mapping[str, Report] | None = None,
    holdouts: Iterable[Report] = (),
    board: Board = PROVISIONAL,
    page: bool = True,
    sign: Sign | None = None,
    unread: Unread | None = None,
) -> list[Standings]:
    """Write `out/<track>/` for each track with what replays it beside, and return the standings.

    Args:
        rules: what is ranked, and how.
        submissions: folders or zips.
        out: the folder to make.
        reference: reports of the uncompressed bases by slot, shown beside the teams on the page, never ranked.
        holdouts: the organiser's own reports of the hold-outs, of all submitted checkpoints.
        board: in which state, and what organisers have decided.
        page: whether to render the HTML page (needs the extra `page`).
        sign: signs the list of all files.
        unread: takes up submissions that cannot be read; without it the first is an error.

    Raises:
        MissingInput: no submission was given, or one is not there, or with `unread` none can be read.
        BadOption: `out` exists.
        UnknownName: a decision is about something that is not among the submissions or tasks.
        Unsupported: the board is a draft, which has no standings.
        MissingPackage: the page's packages are not installed.
    """
    with new_folder(out) as folder:
        by_track = collect(rules, submissions, holdouts, _keep_in(folder / MARKS), unread)
        if not by_track:
            why = "; ".join(error.what if path in error.what else f"{path}: {error.what}"
                            for path, error in (unread or {}).items())  # fmt: skip
            raise MissingInput(
                "there is nothing to score", why=why, mend="name the submissions that `edgelm pack` wrote"
            )
        require_concerned(chain.from_iterable(by_track.values()), board.disqualified)
        return write_board(folder, rules, by_track, board, reference=reference, page=page, sign=sign)


def write_board(
    folder: Path,
    rules: Rules,
    by_track: Mapping[str, Sequence[Entry]],
    board: Board,
    *,
    reference: Mapping[str, Report] | None = None,
    page: bool = True,
    sign: Sign | None = None,
) -> list[Standings]:
    """Write a board into a folder that has the marks which entries name, and list and sign all that is there.

    Args:
        folder: an existing one.
        rules: what is ranked, and how.
        by_track: the entries that were received, before any decision.
        board: in which state, and what organisers have decided.
        reference: reports of the uncompressed bases by slot.
        page: whether to render the HTML page.
        sign: signs the list of all files.

    Raises:
        Unsupported, MissingPackage: see `publish`.
    """
    write_bytes(folder / RULES, rules.to_bytes())
    boards, seen = [], list[Entry]()
    for track, received in sorted(by_track.items()):
        entries = shown_entries(board, rules, received)
        made = standing(board, rules, rules.track(track), received)
        shown = None
        if reference:
            shown = hold_to(common(rules, entries), reference_entry(rules, reference, REFERENCE))
        html = render(rules, made, entries, shown) if page else None
        write_standings(folder / track, rules, made, entries, board, html)
        boards.append(made)
        seen += entries
    _drop_unnamed(folder / MARKS, seen)
    sums = checksums(folder)
    write_bytes(folder / SUMS, sums)
    if sign:
        write_bytes(folder / SIGNATURE, sign(sums))
    return boards


def _keep_in(folder: Path) -> Keep:
    def keep(marks: bytes) -> str:
        digest = sha256_bytes(marks)
        write_bytes(folder / f"{digest}.json", marks)
        return digest

    return keep


def _drop_unnamed(folder: Path, entries: Iterable[Entry]) -> None:
    """Remove the marks that no published entry names: those of hold-outs, while nothing of these may be seen."""
    models = chain.from_iterable(entry.models.values() for entry in entries)
    named = {f"{digest}.json" for model in models for digest in model.marks.values()}
    for path in folder.glob("*.json"):
        if path.name not in named:
            path.unlink()
