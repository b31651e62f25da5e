"""Package checks: the archive, the manifest, and the files that it lists."""

from __future__ import annotations

import stat
import zipfile
from collections import Counter
from pathlib import Path

from edgelm.archives import entry_problem
from edgelm.bundle import BUNDLE_LIST
from edgelm.check.base import Check, Findings, finding, some
from edgelm.check.look import Package
from edgelm.checkpoint import CARD
from edgelm.files import tree_files
from edgelm.report import REPORT
from edgelm.submission import (
    MANIFEST,
    MAX_ANSWERS,
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_RECORD,
    README,
    RESULTS,
    SOURCE,
)  # fmt: skip

MAX_RATIO = 100  # unpacked to packed
SMALL = 64 << 20  # bytes: what unpacks to less is harmless at any ratio
READ_WHOLE = {".json": MAX_RECORD, ".jinja": MAX_RECORD, ".jsonl": MAX_ANSWERS}  # bytes at most, by ending
REQUIRED = (CARD, "checkpoint/config.json", f"report/{REPORT}")  # of each model
SPELLINGS = {
    name.casefold(): name
    for name in (MANIFEST, RESULTS, README, CARD, REPORT, BUNDLE_LIST, "LICENSE", "links.json", "error.txt",
                 "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                 "mlc-chat-config.json")
}  # fmt: skip


def unsafe_zip(path: Path) -> Findings:
    """PKG-01, PKG-02, PKG-03 of a zip, from its directory: what is found here is not unpacked."""
    if not path.is_file():
        yield finding("PKG-01", path.name, f"{path.name} is neither a folder nor a file")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        yield finding("PKG-01", path.name, f"{path.name} is no readable zip: {error}")
        return
    seen: set[str] = set()
    for entry in entries:
        if problem := entry_problem(entry, seen):
            yield finding("PKG-02", entry.filename, f"the entry {problem}")
        yield from _too_large(entry.filename, entry.file_size)
    unpacked, packed = sum(entry.file_size for entry in entries), max(1, path.stat().st_size)
    if len(entries) > MAX_ENTRIES:
        yield finding("PKG-03", path.name, f"{len(entries):,} entries, at most {MAX_ENTRIES:,} are allowed")
    if unpacked > MAX_BYTES:
        yield finding("PKG-03", path.name, f"unpacks to {unpacked:,} bytes, at most {MAX_BYTES:,} are allowed")
    if unpacked > SMALL and unpacked > MAX_RATIO * packed:
        yield finding("PKG-03", path.name, f"unpacks to {unpacked // packed} times its size, at most {MAX_RATIO}")


def unsafe_folder(folder: Path) -> Findings:
    """PKG-02, PKG-03 of a folder, without opening a file: what leads elsewhere, may never end, or fills the memory."""
    for path in sorted(folder.rglob("*")):
        name, status = path.relative_to(folder).as_posix(), path.lstat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            yield finding("PKG-02", name, "this is a link or a device")
        yield from _too_large(name, status.st_size)


def _too_large(name: str, size: int) -> Findings:
    """PKG-03 of a file that is read whole."""
    most = next((most for ending, most in READ_WHOLE.items() if name.endswith(ending)), size)
    if size > most and not name.startswith(f"{SOURCE}/"):
        yield finding("PKG-03", name, f"{size:,} bytes, at most {most:,} are read")


def plain_files(package: Package) -> Findings:
    """PKG-02, PKG-03 of a folder: names that differ by case alone, too many or too large files."""
    total, names = 0, []
    for path in sorted(package.path.rglob("*")):
        names.append(package.relative(path))
        total += path.lstat().st_size
    folded = Counter(name.casefold() for name in names)
    for name in names:
        if folded[name.casefold()] > 1:
            yield finding("PKG-02", name, "another name differs from it by case alone")
    if len(names) > MAX_ENTRIES or total > MAX_BYTES:
        yield finding("PKG-03", "", f"{len(names):,} entries of {total:,} bytes in all")


def manifest(package: Package) -> Findings:
    """PKG-04, SUB-06: the manifest's fields, its track and its rule set."""
    manifest = package.submission.manifest
    rules = package.rules
    known = [track.name for track in rules.tracks]
    if manifest.track not in known:
        yield finding("PKG-04", MANIFEST, f"track '{manifest.track}' is none of {some(known)}")
    elif package.track and manifest.track != package.track.name:
        yield finding("PKG-04", MANIFEST, f"made for track '{manifest.track}', checked for '{package.track.name}'")
    if manifest.rules != rules.digest:
        yield finding("SUB-06", MANIFEST, f"rules {manifest.rules[:12]}…, in force are {rules.digest[:12]}…")
    for name in manifest.model_extra or ():
        yield finding("PKG-04", MANIFEST, f"unknown key '{name}'", severity="W", mend="remove the key")


def listed_files(package: Package) -> Findings:
    """PKG-05, PKG-06: files that were changed, lost or added since the package was made."""
    listed = {entry.path: entry for entry in package.submission.manifest.files}
    for name, entry in listed.items():
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
    Check("PKG-08", spelling),
    Check("PKG-09", empty_files),
)
