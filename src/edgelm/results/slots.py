"""Which slot of the track a row of a results file belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgelm.results.base import MEAN, Note, shown
from edgelm.results.columns import fold

_MEANS = {MEAN, "average", "avg"}


def slot_of(name: str, slots: Iterable[str]) -> str | None:
    """The slot that a model's name means: the same, one the beginning of the other, or the only one of its family."""
    slots, folded = list(slots), fold(name)
    if not folded:
        return None
    for slot in slots:
        if fold(slot) == folded:
            return slot
    near = [slot for slot in slots if fold(slot).startswith(folded) or folded.startswith(fold(slot))]
    near = near or [slot for slot in slots if family(slot) and family(slot) == family(name)]
    return near[0] if len(near) == 1 else None


def family(name: str) -> str:
    """The letters that a model's name begins with: `llama`, `qwen`, `phi`."""
    letters = re.match(r"[a-z]+", fold(name))
    return letters[0] if letters else ""


def assign(labels: Sequence[str], slots: Sequence[str]) -> tuple[list[str | None], list[Note]]:
    """The slot of each row by its label, which may be empty, and where rows and track do not fit."""
    if not slots:
        return [None] * len(labels), []
    if len(labels) == 1 and len(slots) == 1:
        return [slots[0]], _taken(labels[0], slots[0])
    if len(labels) == 1 and (fold(labels[0]) in _MEANS or slot_of(labels[0], slots) is None):
        what = f"one row for {len(slots)} models ({', '.join(slots)}), taken as their mean"
        return [MEAN], [Note("CLM-07", what)]
    if not any(labels) and len(labels) == len(slots):
        return list(slots), [Note("CLM-07", f"rows without names, taken in the order {', '.join(slots)}")]
    return _by_name(labels, slots)


def _by_name(labels: Sequence[str], slots: Sequence[str]) -> tuple[list[str | None], list[Note]]:
    found: list[str | None] = []
    notes = []
    taken: set[str] = set()
    for label in labels:
        slot = slot_of(label, slots)
        if slot is None:
            notes.append(Note("CLM-07", f"row “{shown(label)}” is none of {', '.join(slots)}: not used"))
        elif slot in taken:
            notes.append(Note("CLM-07", f"row “{shown(label)}” is another one for {slot}: the first is used"))
            slot = None
        else:
            taken.add(slot)
            notes += _taken(label, slot)
        found.append(slot)
    notes += [Note("CLM-07", f"no row for {slot}") for slot in slots if slot not in taken]
    return found, notes


def _taken(label: str, slot: str) -> list[Note]:
    return [Note("CLM-07", f"row “{shown(label)}” is taken for {slot}")] if label not in ("", slot) else []
