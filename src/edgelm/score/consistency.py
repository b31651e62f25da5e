"""Whether published entries may say what they say: by the rules, by the decisions, and in the state of the board.

Standings computed from entries hold whatever these hold. So what was decided must be in them, what may not be seen yet
must not, and every figure must be one that the rules count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from edgelm.rules.base import Rules
from edgelm.score.board import Board
from edgelm.score.disqualification import Disqualification
from edgelm.score.entries import Entry, SlotModel, scored_tasks
from edgelm.score.protocols import compared, refusal
from edgelm.score.standings import public
from edgelm.score.states import Shown
from edgelm.score.throughput import model_throughput


def inconsistencies(rules: Rules, board: Board, state: Shown, entries: Iterable[Entry]) -> Iterator[str]:
    """Everything in the entries of one board that speaks against its rules, its decisions or its state."""
    entries = list(entries)
    alike = compared(rules, entries)
    for entry, shown, held in zip(entries, public(rules, entries, state), alike, strict=True):
        name = f"{entry.team} {entry.submission[:12]}"
        if shown != entry:
            yield f"{name}: shows a hold-out, of which nothing is seen while the board is {state}"
        if held != entry:
            yield f"{name}: has scores by another protocol than the one that is compared"
        yield from (f"{name}: {found}" for found in _reasons(entry, board.disqualified))
        for slot, model in sorted(entry.models.items()):
            yield from (f"{name}, {slot}: {found}" for found in _figures(rules, model))


def _reasons(entry: Entry, decisions: Iterable[Disqualification]) -> Iterator[str]:
    """Decisions that the entry does not follow, and reasons that nobody decided."""
    decided = [each.said for each in decisions if each.concerns(entry)]
    yield from (f"is decided to be out, but not by its entry: {said}" for said in decided if said not in entry.reasons)
    for reason in entry.reasons:
        if reason not in decided and not _needs_no_decision(reason, entry.models):
            yield f"is out by its entry, but by no decision: {reason}"


def _needs_no_decision(reason: str, slots: Collection[str]) -> bool:
    """Whether it is of the kind that needs no decision: other rules, another model's report, no sandbox."""
    return reason.partition(":")[0] in {"rules", "evaluation", *slots}


def _figures(rules: Rules, model: SlotModel) -> Iterator[str]:
    """Figures that the rules do not count."""
    tasks = scored_tasks(rules)
    for task in sorted({*model.scores} | {*model.protocols}):
        if task not in tasks:
            yield f"{task}: the rules score no such task"
        elif task not in model.protocols or task not in model.scores:
            yield f"{task}: a score and its protocol belong together, one is not there"
        elif not 0 <= (model.scores[task] or 0) <= 100:
            yield f"{task}: {model.scores[task]} is no percentage"
        elif refused := refusal(rules, task, model.protocols[task], organiser=task in rules.holdouts):
            yield f"{task}: {refused}"
    if model.peak_memory is not None and model.meter not in rules.meters:
        yield f"memory: measured by '{model.meter}', the rules ask for {' or '.join(rules.meters) or 'none'}"
    speed = model_throughput(rules, model.repeats_ns)
    if model.throughput != speed:
        yield f"throughput: {model.throughput} is stored, the repeats give {speed}"
