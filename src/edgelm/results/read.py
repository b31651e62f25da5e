"""The tolerant reader: figures with origin and unit, what was assumed, and what is to be said about the file.

It never ends in an error and never decides between readings in silence: what it takes for granted stands beside the
figure, and what it does not understand stays text. Nothing that it returns is ever ranked.
"""

from __future__ import annotations

from pathlib import Path, PurePath

from edgelm.errors import BadFile
from edgelm.files import read_bytes
from edgelm.results.agreement import against_reports
from edgelm.results.base import Claims, Expected, Note, limited
from edgelm.results.columns import MODEL, column, fold
from edgelm.results.decode import LARGEST, decode
from edgelm.results.plausible import implausible
from edgelm.results.rows import read_rows
from edgelm.results.summary import read_summary
from edgelm.results.table import Table, table
from edgelm.submission import RESULTS

KIT_NAME = "Results.csv"  # as the starting kit spells it


def read_file(path: Path, expected: Expected) -> Claims:
    """What a results file on disk says.

    Raises:
        MissingInput: there is none.
    """
    try:
        data = read_bytes(path, LARGEST)
    except BadFile as error:
        error.what = error.what.replace(str(path), path.name)
        return _refused(path.name, error, expected)
    return read(data, path.name, expected)


def read(data: bytes, name: str, expected: Expected) -> Claims:
    """What a results file says. `name` is the file's, by which its findings are known."""
    if not data.strip(b" \t\r\n\0"):
        note = Note("PKG-09", "the file is empty", "fill it in: edgelm results")
        return Claims(name, (), (), limited([*_spelling(name, None), note]), expected.slots)
    try:
        text, odd = decode(data)
        found = table(text)
    except BadFile as error:
        return _refused(name, error, expected)
    rows, details, notes = (read_summary if found.is_long else read_rows)(found, expected)
    figures = [figure for row in rows for figure in row]
    notes += [*_spelling(name, found), *(Note("CLM-13", what) for what in (*odd, *found.odd))]
    notes += implausible(rows, expected)
    if not figures and not details and not found.is_canonical:  # whose empty cells say that nothing was tested
        notes.append(Note("CLM-06", "no row holds a figure"))
    notes += against_reports(figures, expected.reported, expected.slots)
    return Claims(name, tuple(figures), tuple(details), limited(notes), expected.slots)


def _refused(name: str, error: BadFile, expected: Expected) -> Claims:
    """CLM-01: no figures, and why."""
    what = f"{error.what}: {error.why}" if error.why else error.what
    notes = [*_spelling(name, None), Note("CLM-01", what, error.mend)]
    return Claims(name, (), (), limited(notes), expected.slots)


def _spelling(name: str, found: Table | None) -> list[Note]:
    """PKG-08: `results.csv` is the name of the canonical form, `Results.csv` the kit's for a table without models."""
    name = PurePath(name).name
    if name == KIT_NAME or fold(name) != fold(RESULTS):
        return []
    if name != RESULTS:
        return [Note("PKG-08", f"the file is called {name}, and expected as {RESULTS}")]
    if found is None or found.is_long or any(column(cell.text).name == MODEL for cell in found.header):
        return []
    what = f"{RESULTS} is the name of the canonical form; a table without the column {MODEL} is the kit's {KIT_NAME}"
    return [Note("PKG-08", what, "write the canonical form: edgelm results --read FILE -o NEW")]
