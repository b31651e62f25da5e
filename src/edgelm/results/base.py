"""What is read from a results file: figures with their origin, notes on the reading, and what both are held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from edgelm.submission import COLUMNS, MEMORY, THROUGHPUT

PERCENT, TOKENS, MIB = "%", "tokens/s", "MiB"
UNITS = {**dict.fromkeys(COLUMNS.values(), PERCENT), THROUGHPUT: TOKENS, MEMORY: MIB}  # of the canonical form
TASKS = {column: task for task, column in COLUMNS.items()}
MEAN = "mean"  # the row that stands for all slots of the track
SHOWN = 40  # characters of a stranger's cell that are repeated
MOST_NOTES = 20  # of one code


class Note(NamedTuple):
    """One thing to say about a results file: a finding code, what was seen, and the mend if it is not the code's."""

    code: str
    what: str
    mend: str = ""


@dataclass(frozen=True)
class Figure:
    """One figure of a results file. `value` is None where the cell is kept as text."""

    column: str  # of the canonical form; of a detail the file's own name
    slot: str | None  # of the track, MEAN, or None where the row belongs to no slot
    row: str  # what the file calls the row
    value: Fraction | None
    unit: str
    half: Fraction  # half a unit of the last decimal written, in `unit`: differences up to it are rounding
    text: str  # the cell
    cell: str  # where it stands
    assumed: str = ""  # what the reading takes for granted

    @property
    def canonical(self) -> Fraction | None:
        """The value if the canonical form has a place for it."""
        return self.value if self.slot is not None and UNITS.get(self.column) == self.unit else None

    def as_json(self) -> dict[str, Any]:
        """The figure as a JSON object; the value as an exact fraction."""
        value = None if self.value is None else str(self.value)
        return {"column": self.column, "slot": self.slot, "row": shown(self.row), "value": value, "unit": self.unit,
                "cell": self.cell, "text": shown(self.text), "assumed": self.assumed}  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """What a results file is held against; what is empty or None is not known, and not asked about."""

    slots: tuple[str, ...] = ()  # of the track, or of the models that were brought
    tasks: tuple[str, ...] = tuple(COLUMNS)  # that need a column
    versions: Mapping[str, str] = field(default_factory=dict)  # the code of each task's protocol
    samples: Mapping[str, int] = field(default_factory=dict)  # rows of each task whose score is a plain mean
    sizes: Mapping[str, int] = field(default_factory=dict)  # bytes of the checkpoint, by slot
    limit: int | None = None  # bytes that a peak must stay below
    reported: Mapping[str, Mapping[str, Fraction]] = field(default_factory=dict)  # by slot and column, in UNITS


@dataclass(frozen=True)
class Claims:
    """What a results file says, and what is to be said about it."""

    name: str
    figures: tuple[Figure, ...]
    details: tuple[Figure, ...]  # beside the canonical columns: subsets, other metrics and data sets; rows not read
    notes: tuple[Note, ...]
    slots: tuple[str, ...]  # in the order of the canonical form

    @property
    def values(self) -> dict[str, dict[str, Figure]]:
        """The figures that the canonical form takes, by slot and column; where a cell comes twice, the first."""
        found: dict[str, dict[str, Figure]] = {}
        for figure in self.figures:
            if figure.slot is not None and figure.canonical is not None:
                found.setdefault(figure.slot, {}).setdefault(figure.column, figure)
        return found


def shown(text: str, most: int = SHOWN) -> str:
    """A stranger's text as it may be repeated: one short line without control characters."""
    text = " ".join(text.split()) if len(text) <= 10 * most else text[: most + 1]
    text = "".join(sign if sign.isprintable() else "�" for sign in text)
    return text if len(text) <= most else f"{text[:most]}…"


def limited(notes: Iterable[Note]) -> tuple[Note, ...]:
    """The notes without repetitions, of each code the first `MOST_NOTES` and how many more there are."""
    by_code: dict[str, list[Note]] = {}
    for note in dict.fromkeys(notes):
        by_code.setdefault(note.code, []).append(note)
    found: list[Note] = []
    for code, same in sorted(by_code.items()):
        found += same[:MOST_NOTES]
        if len(same) > MOST_NOTES:
            found.append(Note(code, f"and {len(same) - MOST_NOTES:,} more such cells or rows"))
    return tuple(found)
