"""A bundle on a device: each file lies there once, named by its digest, and no file is pushed twice.

In the device's folder, `store/SHA256` are the files, `bundles/DIGEST/` has links to those of one bundle by their names,
and `run/` tells what runs. A bundle's folder appears when all of its files are there.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edgelm.bundle import MODEL, Bundle
from edgelm.devices.push import PARTIAL, Progress, push, remove
from edgelm.devices.transport import Link
from edgelm.errors import BadFile, BadOption, NoSpace, Unsupported
from edgelm.files import canonical_json, sha256_bytes

RUNNER = "runner"
_UNFINISHED = ".new"
MARGIN = 16 * 2**20  # bytes that stay free on the device beside what is pushed

_MACHINES = {62: "x86_64", 183: "aarch64", 40: "arm", 243: "riscv64"}  # e_machine of an ELF header
_ALSO = {"aarch64": {"arm64"}, "x86_64": {"amd64"}}  # other names that `uname -m` has for it

_LOOK = """
set -e
mkdir -p "$1/store" "$1/bundles" "$1/run"
cd "$1"
echo "machine $(uname -m) $(getprop ro.product.cpu.abilist 2> /dev/null)"
echo "free $(df -P -k . | tail -n 1)"
stat -c 'file %s %n' store/* 2> /dev/null || true
for name in $(ls -t bundles); do echo "bundle $name $(cat "bundles/$name/.files" 2> /dev/null | tr '\\n' ' ')"; done
rm -f run/probe
printf 'exit 0\\n' > run/probe
chmod 755 run/probe
if ./run/probe 2> /dev/null; then echo "runs yes"; else echo "runs no"; fi
"""
_BIND = """
set -e
folder=$1
name=$2
shift 2
cd "$folder/bundles"
rm -rf "$name.new"
mkdir "$name.new"
while [ $# -gt 0 ]; do
  mkdir -p "$(dirname "$name.new/$2")"
  ln -s "$folder/store/$1" "$name.new/$2" 2> /dev/null || cp "../store/$1" "$name.new/$2"
  echo "$1" >> "$name.new/.files"
  shift 2
done
rm -rf "$name"
mv "$name.new" "$name"
"""


@dataclass(frozen=True)
class Installed:
    """A bundle that is on a device, whole: its folder there."""

    folder: str

    @property
    def runner(self) -> str:
        """The path of its program."""
        return f"{self.folder}/{RUNNER}"

    @property
    def model(self) -> str:
        """The path of its model."""
        return f"{self.folder}/{MODEL}"


@dataclass
class Holdings:
    """What lies in the device's folder, and what the device is."""

    machine: str = ""
    free: int = 0  # bytes
    runs: bool = False  # whether programs may be run from the folder
    files: dict[str, int] = field(default_factory=dict)  # bytes by name in the store
    bundles: dict[str, list[str]] = field(default_factory=dict)  # digests of the files, the last used bundle first


def install(link: Link, bundle: Bundle, progress: Progress, *, keep: int = 2) -> Installed:
    """Bring a bundle onto the device: what is there stays, what is missing is pushed.

    Of other bundles the last used ones stay, `keep` in all with this one; what belongs to none is removed first.

    Raises:
        Unsupported: the bundle has no program, or one for another processor than the device's.
        BadOption: programs may not be run from the folder.
        NoSpace: what is missing does not fit; nothing was pushed.
        BadFile, Unreachable: see `push`.
    """
    wanted = _wanted(bundle)
    found = look(link)
    _require_runs(link, found, bundle)
    digests = {listed.sha256: listed.size for listed in bundle.listing.files.values()}
    name = sha256_bytes(canonical_json(wanted))
    found = _tidy(link, found, name, set(wanted.values()), keep)
    missing = {file: sha256 for file, sha256 in wanted.items() if found.files.get(sha256) != digests[sha256]}
    _require_space(link, found, {sha256: digests[sha256] for sha256 in missing.values()})
    for file, sha256 in missing.items():
        place = f"{link.folder}/store/{sha256}"
        push(link, bundle.path / file, place, sha256, progress, begun=sha256 + PARTIAL in found.files)
    pairs = [word for file, sha256 in wanted.items() for word in (sha256, file)]
    link.script(_BIND, link.folder, name, *pairs)
    return Installed(f"{link.folder}/bundles/{name}")


def look(link: Link) -> Holdings:
    """What is on the device; our folder is made where it is not there."""
    found = Holdings()
    for row in link.script(_LOOK, link.folder).splitlines():
        kind, _, rest = row.partition(" ")
        words = rest.split()
        if kind == "machine":
            found.machine = rest.strip()
        elif kind == "free" and (numbers := re.search(r"(\d+)\s+(\d+)\s+(\d+)\s+\d+%", rest)):
            found.free = int(numbers[3]) * 1024
        elif kind == "file":
            found.files[PurePosixPath(words[1]).name] = int(words[0])
        elif kind == "bundle":
            found.bundles[words[0]] = words[1:]
        elif kind == "runs":
            found.runs = rest == "yes"
    return found


def forget(link: Link, installed: Installed | None = None) -> None:
    """Remove all that we ever put onto the device, or one bundle with its files."""
    if installed is None:
        remove(link, link.folder)
        return
    files = look(link).bundles.get(PurePosixPath(installed.folder).name, [])
    remove(link, installed.folder, *(f"{link.folder}/store/{sha256}" for sha256 in files))


def architecture(program: Path) -> str:
    """The processor that a program is for, as `uname -m` has it; empty for a script."""
    with program.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF":
        return ""
    number = int.from_bytes(head[18:20], "little")
    return _MACHINES.get(number, f"processor {number}")


def _wanted(bundle: Bundle) -> dict[str, str]:
    """The files that a device needs, by name: all but the app, which is installed and not pushed."""
    listed = bundle.listing.files
    for name in listed:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise BadFile(f"{bundle.path} lists a file called {name!r}", why="it would lie outside of its folder",
                          mend="make the bundle anew")  # fmt: skip
    for name in (RUNNER, MODEL):
        if name not in listed:
            raise Unsupported(f"{bundle.path} holds no {name}", why=f"it was made by {bundle.listing.target}",
                              mend="make one that can run: edgelm deploy CHECKPOINT android -o BUNDLE")  # fmt: skip
    return {name: file.sha256 for name, file in sorted(listed.items()) if not name.endswith(".apk")}


def _require_runs(link: Link, found: Holdings, bundle: Bundle) -> None:
    built = architecture(bundle.path / RUNNER)
    names = {built} | _ALSO.get(built, set())
    both = built == "aarch64" and "arm64-v8a" in found.machine  # a 32-bit shell of a 64-bit system says armv8l
    if built and not both and found.machine.split(" ")[0] not in names:
        raise Unsupported(
            f"the bundle's program is for {built}, {link.name} is {found.machine.split(' ')[0] or 'unknown'}",
            why="a program runs on the processor that it was built for alone",
            mend="use a 64-bit device, or a bundle that was made for this one",
        )
    if not found.runs:
        raise BadOption(f"programs may not be run from {link.folder} on {link.name}",
                        why="its file system is mounted noexec, or the system forbids it",
                        mend="name another folder: folder=…")  # fmt: skip


def _tidy(link: Link, found: Holdings, own: str, wanted: Collection[str], keep: int) -> Holdings:
    """Remove bundles beyond those to keep, and files and beginnings of files that belong to none of the rest."""
    others = [name for name in found.bundles if name != own]
    stay = [name for name in others if not name.endswith(_UNFINISHED)][: max(0, keep - 1)]
    needed = set(wanted) | {sha256 for name in stay for sha256 in found.bundles[name]}
    gone = [name for name in found.files if name.removesuffix(PARTIAL) not in needed]
    paths = [f"{link.folder}/bundles/{name}" for name in others if name not in stay]
    paths += [f"{link.folder}/store/{name}" for name in gone]
    if not paths:
        return found
    remove(link, *paths)
    return look(link)


def _require_space(link: Link, found: Holdings, missing: dict[str, int]) -> None:
    needed = sum(count - min(count, found.files.get(sha256 + PARTIAL, 0)) for sha256, count in missing.items())
    if missing and needed + MARGIN > found.free:
        raise NoSpace(
            f"{_mib(needed)} are to be pushed to {link.name}, {_mib(found.free)} are free in {link.folder}",
            mend="free some on the device, give keep=1 to keep no other bundle there, or name another folder=…",
        )


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
