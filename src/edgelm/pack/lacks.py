"""What a starting kit's submission lacks: everything at once, each with the command or sentence that mends it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from edgelm.checkpoint import CARD, Checkpoint
from edgelm.errors import InputError
from edgelm.pack.kit import CODE, COMPILED, SAVED, Kit
from edgelm.pack.model import Entry
from edgelm.report import Report
from edgelm.rules import Track
from edgelm.submission import LOCKS, README

ERROR = "error.txt"  # of a proof: why the app does not run


class Lack(NamedTuple):
    """One thing that is not there. Without a `needed` one nothing can be handed in."""

    what: str
    mend: str
    needed: bool


def lacking(
    kit: Kit, entries: Mapping[str, Entry], omitted: Mapping[str, str], track: Track, rules: str, *, source: bool
) -> list[Lack]:
    """All that is missing beside the kit's folder, the needed first.

    Args:
        kit: what there is.
        entries: what was given beside it, by slot.
        omitted: why a slot brings no model.
        track: that it is handed in for.
        rules: their spec, for the commands.
        source: whether a source folder was given in place of the kit's.
    """
    found = [] if source else list(_source(kit))
    for slot in track.slots:
        if slot not in omitted:
            found += _model(kit, slot, entries.get(slot), track, rules)
    return sorted(found, key=lambda lack: not lack.needed)


def _source(kit: Kit) -> Iterator[Lack]:
    folder = kit.path / kit.found.get(CODE, CODE)
    if CODE not in kit.found:
        yield Lack(f"{CODE} is not there", "put the code into it, or give --source FOLDER", needed=True)
    elif README not in kit.source:
        yield Lack(f"{CODE} holds no {README}", f"write the commands that rebuild the models into {folder / README}",
                   needed=True)  # fmt: skip
    if not any(LOCKS.search(name) for name in kit.source):
        yield Lack("the source pins no packages", f"pip freeze > {shlex.quote(str(folder / 'requirements.txt'))}",
                   needed=False)  # fmt: skip


def _model(kit: Kit, slot: str, entry: Entry | None, track: Track, rules: str) -> Iterator[Lack]:
    """What one slot lacks; commands name the checkpoint as it was given, or by its slot."""
    place = shlex.quote(str(entry.checkpoint)) if entry else slot
    if entry is None:
        yield Lack(f"{slot}: no checkpoint", f"{_had(SAVED, kit.saved, 'the checkpoint')}, then give {slot}=FOLDER "
                   f"beside --from-kit; or --omit {slot}=REASON", needed=True)  # fmt: skip
    yield from _card(slot, entry, place, track)
    yield from _reports(slot, entry, place, rules)
    shows_error = bool(entry and entry.proof and (entry.proof / ERROR).is_file())
    if not (entry and entry.bundle) and not shows_error:
        where = f" ({COMPILED} names {' '.join(kit.compiled)})" if kit.compiled else ""
        yield Lack(f"{slot}: no bundle for the phone{where}",
                   f"edgelm deploy {place} android -o {slot}-bundle, then add ,{slot}-bundle behind the checkpoint; or "
                   f"--proof {slot}=FOLDER with {ERROR}, which says why there is none", needed=True)  # fmt: skip
    if not (entry and entry.proof):
        yield Lack(f"{slot}: no proof that the app runs", f"--proof {slot}=FOLDER with a screenshot, or {ERROR}",
                   needed=False)  # fmt: skip


def _had(name: str, addresses: tuple[str, ...], what: str) -> str:
    """Where to get something, from what a file of the kit says."""
    return f"fetch {what} that {name} names ({' '.join(addresses)})" if addresses else f"have {what} in a folder"


def _card(slot: str, entry: Entry | None, place: str, track: Track) -> Iterator[Lack]:
    """What a checkpoint's card must say for the track, and cannot be read from its files."""
    compressed = track.derivation == "compressed"
    try:
        card = Checkpoint(entry.checkpoint).card if entry else None
    except InputError as error:
        yield Lack(f"{slot}: {error.what}", error.mend, needed=True)
        return
    kinds = ("compressed", "from-scratch") if compressed else ("from-scratch",)  # a base may be a team's own
    if not (card and card.derivation in kinds and (card.base if compressed else card.data)):
        base = '"base": "UPSTREAM/NAME", ' if compressed else ""
        text = f'{{{base}"derivation": "{track.derivation}", "data": [{{"name": "c4"}}]}}'
        yield Lack(f"{slot}: no {CARD} that says where the weights come from", f"echo '{text}' > {place}/{CARD}",
                   needed=True)  # fmt: skip


def _reports(slot: str, entry: Entry | None, place: str, rules: str) -> Iterator[Lack]:
    """Scores and speed that no report has; one that cannot be read says so itself."""
    scores = speed = False
    for folder in entry.reports if entry else ():
        try:
            report = Report.load(folder)
        except InputError as error:
            yield Lack(f"{slot}: {error.what}", error.mend, needed=True)
            continue
        scores, speed = scores or bool(report.tasks), speed or report.speed is not None
    added = "then add ,{} behind the checkpoint"
    if not scores:
        yield Lack(f"{slot}: no answers to the tasks", f"edgelm evaluate {place} -o {slot}-scores, "
                   + added.format(f"{slot}-scores"), needed=False)  # fmt: skip
    if not speed:
        yield Lack(f"{slot}: no measurement", f"edgelm measure {place} --rules {shlex.quote(rules)} -o {slot}-speed, "
                   + added.format(f"{slot}-speed"), needed=False)  # fmt: skip
