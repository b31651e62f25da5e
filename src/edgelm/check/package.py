"""Package checks: the archive, the manifest, and the files that it lists."""

from __future__ import annotations

import stat
from collections import Counter
from pathlib import Path

from edgelm.archives.entries import Entry, entry_problem, folded, shown
from edgelm.archives.unpack import MAX_RATIO, SMALL, entries
from edgelm.bundle import BUNDLE_LIST
from edgelm.check.base import Check, Finding, Findings, finding, some, unknown_keys
from edgelm.check.bundle import ERROR
from edgelm.check.look import Package, known_rules
from edgelm.checkpoint import CARD
from edgelm.errors import InputError, MissingInput
from edgelm.files import tree_files
from edgelm.links import LINKS
from edgelm.plugins import spec_of
from edgelm.report import MAX_ANSWERS, REPORT
from edgelm.rules import Rules
from edgelm.submission import (
    MANIFEST,
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_RECORD,
    README,
    RESULTS,
    SOURCE,
)  # fmt: skip

LARGEST_SHOWN = 5  # files of a package that is too large
READ_WHOLE = {".json": MAX_RECORD, ".jinja": MAX_RECORD, ".jsonl": MAX_ANSWERS}  # bytes at most, by ending
REQUIRED = (CARD, "checkpoint/config.json", f"report/{REPORT}", ERROR)  # of each model, as far as they are there
SPELLINGS = {
    name.casefold(): name
    for name in (MANIFEST, RESULTS, README, CARD, REPORT, BUNDLE_LIST, "LICENSE", LINKS, "error.txt",
                 "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                 "mlc-chat-config.json")
}  # fmt: skip


def unsafe_archive(path: Path) -> Findings:
    """PKG-01, PKG-02, PKG-03 of an archive, from its headers: what is found here is not unpacked."""
    seen: set[str] = set()
    unpacked, packed = 0, max(1, path.stat().st_size)
    try:
        for entry in entries(path, max_bytes=MAX_BYTES, max_entries=MAX_ENTRIES):
            unpacked += max(0, entry.size)
            if problem := entry_problem(entry, seen):
                yield finding("PKG-02", shown(entry.name), f"the entry {problem}")
            yield from _too_large(shown(entry.name), entry.size)
    except InputError as error:
        code = "PKG-03" if "unpacks to more" in error.why or "entries" in error.why else "PKG-01"
        yield finding(code, path.name, f"{path.name} is no readable archive: {error.why or error.what}")
        return
    if unpacked > MAX_BYTES:
        yield finding("PKG-03", path.name, f"unpacks to {unpacked:,} bytes, at most {MAX_BYTES:,} are allowed")
    if unpacked > SMALL and unpacked > MAX_RATIO * packed:
        yield finding("PKG-03", path.name, f"unpacks to {unpacked // packed} times its size, at most {MAX_RATIO}")


def unsafe_folder(folder: Path) -> Findings:
    """PKG-02, PKG-03 of a folder, without opening a file: what leads elsewhere, may never end, or fills the memory.

    Each entry is judged as one of an archive is; which of them collide, `plain_files` says.
    """
    for path in sorted(folder.rglob("*")):
        name, status = path.relative_to(folder).as_posix(), path.lstat()
        is_folder = stat.S_ISDIR(status.st_mode)
        entry = Entry(name, status.st_size, is_folder, is_folder or stat.S_ISREG(status.st_mode))
        if problem := entry_problem(entry, set()):
            yield finding("PKG-02", shown(name), f"the entry {problem}")
        yield from _too_large(name, status.st_size)


def _too_large(name: str, size: int) -> Findings:
    """PKG-03 of a file that is read whole."""
    most = next((most for ending, most in READ_WHOLE.items() if name.endswith(ending)), size)
    if size > most and not name.startswith(f"{SOURCE}/"):
        yield finding("PKG-03", name, f"{size:,} bytes, at most {most:,} are read")


def plain_files(package: Package) -> Findings:
    """PKG-02, PKG-03 of a folder: names that some system takes for the same, too many or too large files."""
    total, names = 0, []
    for path in sorted(package.path.rglob("*")):
        names.append(package.relative(path))
        total += path.lstat().st_size
    alike = Counter(map(folded, names))
    for name in names:
        if alike[folded(name)] > 1:
            yield finding("PKG-02", name, "another name differs from it by case or accents' spelling alone")
    if len(names) > MAX_ENTRIES or total > MAX_BYTES:
        yield finding("PKG-03", "", f"{len(names):,} entries of {total:,} bytes in all")


def no_package(package: Package) -> Finding | None:
    """PKG-04 of something else in the place of a package, of which nothing more is to be said."""
    if any(name.casefold() == MANIFEST for name in package.files):
        return None
    is_folder = package.submission.origin.is_dir()
    inner = [name.partition("/")[0] for name in package.files if name.endswith(f"/{MANIFEST}") and name.count("/") == 1]
    if not package.files:
        what = f"this is an empty {'folder' if is_folder else 'archive'}"
        mend = "give the folder or archive that edgelm pack wrote"
    elif len(inner) == 1:
        what = f"there is no {MANIFEST} at the top: what belongs there lies in {inner[0]}/"
        mend = f"check {inner[0]}/ itself" if is_folder else f"pack the contents of {inner[0]}/, not the folder"
    elif any(name == "config.json" or ("/" not in name and name.endswith(".safetensors")) for name in package.files):
        what = "this is a checkpoint, not a package"
        mend = "pack it: edgelm pack SLOT=CHECKPOINT,REPORT,… -o SUBMISSION"
    else:
        return None
    return finding("PKG-04", MANIFEST, what, mend=mend)


def manifest(package: Package) -> Findings:
    """PKG-04, SUB-06: the manifest's fields, its track and its rule set."""
    try:
        manifest = package.submission.manifest
    except MissingInput as error:
        yield finding("PKG-04", MANIFEST, package.cause(error), mend="pack again: edgelm pack")
        return
    rules = package.rules
    known = [track.name for track in rules.tracks]
    if manifest.track not in known:
        yield finding("PKG-04", MANIFEST, f"track '{manifest.track}' is none of {some(known)}")
    elif package.track and manifest.track != package.track.name:
        yield finding("PKG-04", MANIFEST, f"made for track '{manifest.track}', checked for '{package.track.name}'")
    if manifest.rules != package.in_force.digest:
        yield _other_rules(manifest.rules, package.in_force)
    yield from unknown_keys(MANIFEST, manifest, *manifest.files)


def _other_rules(digest: str, rules: Rules) -> Finding:
    """SUB-06: both rule sets by name and digest, and what to do about it. A manifest has the digest alone."""
    own, mend = "unknown here", f"pack again: edgelm pack … --rules {spec_of(rules)}"
    if known := known_rules(digest):
        own = spec_of(known)
        mend = f"if {own} are the ones meant: edgelm check SUBMISSION --rules {own}; else {mend}"
    what = f"packed under rules {own} ({digest[:12]}…), held against {rules.name} ({rules.digest[:12]}…)"
    return finding("SUB-06", MANIFEST, what, mend=mend)


def listed_files(package: Package) -> Findings:
    """PKG-05, PKG-06: files that were changed, lost or added since the package was made."""
    listed = {entry.path: entry for entry in package.submission.manifest.files}
    for name, entry in listed.items():
        if name not in package.digests and name in package.linked:
            continue
        if name not in package.digests:
            yield finding("PKG-05", name, "listed in the manifest, but absent")
            continue
        size = (package.path / name).stat().st_size
        if size != entry.size:
            yield finding("PKG-05", name, f"{size:,} bytes, listed with {entry.size:,}")
        elif package.digests[name] != entry.sha256:
            yield finding("PKG-05", name, f"sha256 {package.digests[name][:12]}…, listed with {entry.sha256[:12]}…")
    for name in package.files:
        if name not in listed and name != MANIFEST:
            yield finding("PKG-06", name, "not listed in the manifest")


def size(package: Package) -> Findings:
    """PKG-07: what the package weighs, its largest files, and what it holds twice."""
    sizes = {name: (package.path / name).stat().st_size for name in package.files}
    total = sum(sizes.values())
    if total <= package.max_bytes:
        return
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:LARGEST_SHOWN]
    times = Counter(package.digests.values())
    twice = [name for name in sizes if times[package.digests[name]] > 1 and sizes[name]]
    what = f"{total:,} bytes, at most {package.max_bytes:,} are taken; largest: " + some(
        f"{name} {sizes[name]:,}" for name in largest
    )
    evidence = {"bytes": sizes, "held_twice": twice}
    yield finding("PKG-07", "", f"{what}; held twice: {some(twice)}" if twice else what, evidence=evidence)


def spelling(package: Package) -> Findings:
    """PKG-08: known files under another spelling."""
    for name in tree_files(package.path):
        last = name.rpartition("/")[2]
        known = SPELLINGS.get(last.casefold(), last)
        if known != last:
            yield finding("PKG-08", name, f"the file is expected as {known}")


def empty_files(package: Package) -> Findings:
    """PKG-09: required files without a byte."""
    required = {MANIFEST, RESULTS, f"{SOURCE}/{README}", *(m.at(name) for m in package.models for name in REQUIRED)}
    for name in sorted(required):
        path = package.path / name
        if path.is_file() and path.stat().st_size == 0:
            yield finding("PKG-09", name, "the file is empty")


CHECKS = (
    Check("PKG-02", plain_files),
    Check("PKG-04", manifest),
    Check("PKG-05", listed_files),
    Check("PKG-07", size),
    Check("PKG-08", spelling),
    Check("PKG-09", empty_files),
)
