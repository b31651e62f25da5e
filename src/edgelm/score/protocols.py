"""Scores count only beside scores from the same rows, asked and marked in the same way.

The rules name the suite, and of its tasks the versions that count. Where they leave the version open (a suite of its
own, whose rows follow from a seed), the ranked entries of a track count by the protocol that most teams used; of
several used by equally many, by the first in the order of their names. A hold-out that is secret, or of which the rules
pin no version, is evaluated by the organiser: its scores count from the organiser's reports alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from edgelm.rules.base import HOLDOUT, Rules
from edgelm.score.entries import Entry, SlotModel, ineligibility


def refusal(rules: Rules, task: str, protocol: str, *, organiser: bool = False) -> str:
    """Why a score by this protocol, from the organiser or else a team, does not count; empty when it does."""
    suite, pinned = protocol.partition("/")[0], rules.protocol(task)
    is_open = task in rules.holdouts and pinned is None  # to whatever rows a team likes
    if (suite == HOLDOUT or is_open) and not organiser:
        return f"scored by {protocol}, which counts from the organiser's own reports alone"
    if protocol == pinned or (pinned is None and suite in (rules.suite, HOLDOUT)):
        return ""
    return f"scored by {protocol}, the rules ask for {pinned or rules.suite}"


def common(rules: Rules, entries: Iterable[Entry]) -> dict[str, str]:
    """The protocol of each task by which the entries are compared; only those in competition have a say."""
    used = {
        (entry.team, task, protocol)
        for entry in entries
        if not ineligibility(rules, entry)
        for model in entry.models.values()
        for task, protocol in model.protocols.items()
    }
    teams = Counter((task, protocol) for _, task, protocol in used)
    chosen: dict[str, str] = {}
    for task, protocol in sorted(teams, key=lambda key: (-teams[key], key)):
        chosen.setdefault(task, protocol)
    return chosen


def compared(rules: Rules, entries: Iterable[Entry]) -> list[Entry]:
    """The entries, each held to the protocols by which all are compared: once it is decided who is out."""
    entries = list(entries)
    protocols = common(rules, entries)
    return [hold_to(protocols, entry) for entry in entries]


def hold_to(protocols: Mapping[str, str], entry: Entry) -> Entry:
    """The entry with every score by another protocol missing, and a note for each."""
    return entry.model_copy(update={"models": {slot: _held(model, protocols) for slot, model in entry.models.items()}})


def _held(model: SlotModel, protocols: Mapping[str, str]) -> SlotModel:
    strange = {task: own for task, own in model.protocols.items() if own != protocols.get(task, own)}
    notes = [f"{task}: scored by {own}, compared is by {protocols[task]}" for task, own in strange.items()]
    return model.model_copy(update={
        "scores": {task: score for task, score in model.scores.items() if task not in strange},
        "marks": {task: own for task, own in model.marks.items() if task not in strange},
        "protocols": {task: own for task, own in model.protocols.items() if task not in strange},
        "notes": (*model.notes, *notes),
    })  # fmt: skip
