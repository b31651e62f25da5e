"""Submissions in, boards out: the standings of every track that they are for, in one new folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from edgelm.errors import MissingInput
from edgelm.folders import new_folder
from edgelm.report import Report
from edgelm.rules.base import Rules
from edgelm.score.collect import collect, reference_entry
from edgelm.score.page import render
from edgelm.score.protocols import common, hold_to
from edgelm.score.standings import Standings, standings
from edgelm.score.write import write_standings

REFERENCE = "base"


def publish(
    rules: Rules,
    submissions: Iterable[str | os.PathLike[str]],
    out: Path,
    *,
    reference: Mapping[str, Report] | None = None,
    holdouts: Iterable[Report] = (),
    page: bool = True,
) -> list[Standings]:
    """Write `out/<track>/` for each track, and return the standings.

    Args:
        rules: what is ranked, and how.
        submissions: folders or zips.
        out: the folder to make.
        reference: reports of the uncompressed bases by slot, shown beside the teams on the page, never ranked.
        holdouts: the organiser's own reports of the hold-outs, of all submitted checkpoints.
        page: whether to render the HTML page (needs the extra `page`).

    Raises:
        MissingInput: no submission was given, or one is not there.
        BadOption: `out` exists.
        MissingPackage: the page's packages are not installed.
    """
    by_track = collect(rules, submissions, holdouts)
    if not by_track:
        raise MissingInput("there is nothing to score", mend="name the submissions that `edgelm pack` wrote")
    boards = []
    with new_folder(out) as folder:
        for track, entries in sorted(by_track.items()):
            standing = standings(rules, rules.track(track), entries)
            shown = None
            if reference:
                shown = hold_to(common(rules, entries), reference_entry(rules, reference, REFERENCE))
            html = render(rules, standing, entries, shown) if page else None
            write_standings(folder / track, rules, standing, entries, html)
            boards.append(standing)
    return boards
