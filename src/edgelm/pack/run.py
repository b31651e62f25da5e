"""Packing itself: all parts are read and held against each other, then the package appears whole or not at all."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edgelm import __version__
from edgelm.archives.zips import zip_tree
from edgelm.errors import BadOption, MissingInput, UnknownName
from edgelm.files import disk_errors, write_bytes, write_json
from edgelm.folders import new_folder, require_fresh
from edgelm.links import LINKS
from edgelm.pack.links import link_records
from edgelm.pack.model import Entry, Model
from edgelm.pack.place import Places, Progress
from edgelm.pack.source import Wrapper, source_files, write_source, write_wrappers
from edgelm.results.canonical import results_file
from edgelm.rules import Rules, Track
from edgelm.submission import MANIFEST, RESULTS, Submission

ZIP = ".zip"
ARCHIVES = (".tar", ".zst", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar")  # that are not written


def pack(
    entries: Mapping[str, Entry],
    *,
    team: str,
    track: str,
    rules: Rules,
    out: Path,
    source: Path | Mapping[str, Path] | None = None,
    title: str = "",
    method: str = "",
    contact: str = "",
    omitted: Mapping[str, str] | None = None,
    links: Mapping[str, str] | None = None,
    claims: str | None = None,
    wrapper: Wrapper | None = None,
    progress: Progress | None = None,
    note: Callable[[str], object] = lambda text: None,
) -> Submission:
    """The submission at `out`, a folder, or a zip if the name ends so; whole or not at all.

    Args:
        entries: by slot of the track.
        team: its name.
        track: of the rules.
        rules: that it is handed in for.
        out: the package; it must not be there yet.
        source: runnable source with a README.md, as a folder or as files by name; None writes it from the cards.
        title: of the submission.
        method: one paragraph.
        contact: a mail address.
        omitted: why a slot brings no model.
        links: addresses of files that lie elsewhere, by their names in the package: listed, and left out of it.
        claims: the results file; None writes it from the reports.
        wrapper: makes the files by which OpenCompass runs each model; None brings none.
        progress: told the bytes read.
        note: told what had to be copied although it is large.

    Raises:
        UnknownName: no such track, slot, or file to link.
        MissingInput: a slot has neither model nor reason; a folder lacks what it must hold.
        BadOption: a report or bundle is of another checkpoint; `out` exists, lies in `source`, or is named as an
            archive that is not written.
    """
    omitted, links = omitted or {}, links or {}
    _require_slots(rules.track(track), entries, omitted)
    brought = _source(source, out)
    _require_kind(out)
    require_fresh(out)  # before anything large is read
    models = {slot: Model.open(slot, Entry(*entry), progress) for slot, entry in entries.items()}
    with _appear(out) as folder:
        places = Places(folder, frozenset(links))
        for model in models.values():
            model.write(places)
        write_source(places, brought, models.values())
        if wrapper:
            write_wrappers(folder, wrapper, models.values())
        figures = results_file({slot: model.report for slot, model in models.items()}, rules)
        write_bytes(folder / RESULTS, (figures if claims is None else claims).encode())
        if links:
            write_json(folder / LINKS, link_records(links, places, progress))
        slots = {slot: model.place for slot, model in models.items()}
        write_json(folder / MANIFEST, {
            "format": 1, "team": team, "track": track, "rules": rules.digest, "title": title, "method": method,
            "contact": contact, "models": slots | {slot: {"omitted": why} for slot, why in omitted.items()},
            "files": places.entries(progress), "claims": RESULTS, "made_by": f"edgelm {__version__}",
        })  # fmt: skip
    for said in places.said:
        note(said)
    return Submission(out)


def _source(source: Path | Mapping[str, Path] | None, out: Path) -> Mapping[str, Path] | None:
    if not isinstance(source, Path):
        return source
    if out.resolve().is_relative_to(source.resolve()):
        raise BadOption(f"{out} lies in the source folder {source}", why="the package would be copied into itself",
                        mend="choose an -o outside the source, or a source folder of its own")  # fmt: skip
    return source_files(source)


def _require_slots(track: Track, entries: Mapping[str, Entry], omitted: Mapping[str, str]) -> None:
    for slot in (*entries, *omitted):
        if slot not in track.slots:
            raise UnknownName("slot", slot, track.slots)
        if slot in entries and slot in omitted:
            raise BadOption(f"slot '{slot}' has a model and is declared omitted", mend="give one or the other")
    if missing := [slot for slot in track.slots if slot not in entries and slot not in omitted]:
        raise MissingInput(f"track '{track.name}' asks for models that are not given: {', '.join(missing)}",
                           mend=f"add {' '.join(f'{slot}=CHECKPOINT' for slot in missing)}, or say why not: "
                                f"{' '.join(f'--omit {slot}=REASON' for slot in missing)}")  # fmt: skip


def _require_kind(out: Path) -> None:
    """Refuse a name that says of a folder that it is an archive."""
    if out.suffix.casefold() in ARCHIVES:
        name = out.with_suffix("") if out.with_suffix("").suffix == ".tar" else out
        raise BadOption(f"{out} cannot be written", why="a package is a folder or a .zip",
                        mend=f"-o {name.with_suffix('.zip')}, or a folder: -o {name.with_suffix('')}")  # fmt: skip


@contextlib.contextmanager
def _appear(out: Path) -> Iterator[Path]:
    """A folder to fill that becomes `out`, or whose zip does, when the block ends well."""
    if out.suffix.casefold() != ZIP:
        with new_folder(out) as folder:
            yield folder
        return
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.partial-", dir=out.parent) as partial:
            folder, packed = Path(partial, "package"), Path(partial, out.name)
            folder.mkdir()
            yield folder
            zip_tree(folder, packed)
            packed.replace(out)
