"""Files onto a device and from it: checked by digest on the other side, under their name only when they are whole.

What a lost connection leaves is `NAME.partial`; the next push goes on behind it if it is the beginning of this file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from edgelm.devices.transport import QUICK, Link, Unreachable
from edgelm.errors import BadFile, NoSpace
from edgelm.files import CHUNK

PARTIAL = ".partial"
_SLOWEST = 20 * 2**20  # bytes a second that a device reads and digests at least

Progress = Callable[[str, int, int], object]  # what is being done, bytes done, bytes in all

_DIGEST = 'found=$(sha256sum < "$1") || exit; echo "${found%% *}"'
_LEFT = f'if [ -e "$1" ]; then stat -c %s "$1" && {_DIGEST}; fi'
# $1: the partial file, $2: its name when it is whole, $3: its digest, $4: its size.
# Says how many bytes are there, and "whole" if they are the ones that are wanted.
_TAKE = """
cat >> "$1" && size=$(stat -c %s "$1") && found=$(sha256sum < "$1") || exit
if [ "${found%% *}" = "$3" ]; then chmod 755 "$1" && mv -f "$1" "$2" && echo "$size whole"
else
  echo "$size"
  if [ "$size" -ge "$4" ]; then rm -f "$1"; fi
fi
"""


def push(link: Link, file: Path, target: str, sha256: str, progress: Progress, *, begun: bool = True) -> None:
    """Make `target` on the device the file with this digest, which `file` is here; not `begun`: nothing of it is there.

    Raises:
        BadFile: the file here is another one, or its bytes arrived changed; nothing of it is left on the device.
        NoSpace: the device's disk became full; nothing of it is left there.
        Unreachable: the connection ended; what arrived is gone on with by the next push.
    """
    partial, size = target + PARTIAL, file.stat().st_size
    done, own = _resumable(link, file, partial, size) if begun else (0, hashlib.sha256())
    label = f"pushing {file.name}"
    chunks = _rest(file, done, own, lambda now: progress(label, now, size))
    try:
        argv = ["sh", "-c", _TAKE, "sh", partial, target, sha256, str(size)]
        arrived, *whole = link.feed(argv, chunks, after=_time(size)).split()
    except NoSpace:
        remove(link, partial)
        raise
    if own.hexdigest() != sha256:
        remove(link, partial)
        raise BadFile(f"{file} is not the file that its bundle lists", mend="make the bundle anew")
    if not whole and int(arrived) < size:
        raise Unreachable(f"{int(arrived):,} of {size:,} bytes of {file.name} arrived on {link.name}",
                          mend="give the command again: it goes on behind them")  # fmt: skip
    if not whole:
        raise BadFile(f"{file.name} arrived on {link.name} with changed bytes", why="its digest there is another one",
                      mend="give the command again; if it stays, try another cable or port")  # fmt: skip


def digest(link: Link, path: str, size: int) -> str:
    """The sha256 of a file on the device, computed there; `size` sets the time it may take."""
    return link.script(_DIGEST, path, seconds=_time(size)).strip()


def remove(link: Link, *paths: str) -> None:
    """Remove files and folders on the device; one that is not there is none too many."""
    link.run(["rm", "-rf", *paths])


def _resumable(link: Link, file: Path, partial: str, size: int) -> tuple[int, hashlib._Hash]:
    """How many bytes of the file are there already, and their digest; anything else of that name is removed."""
    found = link.script(_LEFT, partial, seconds=_time(size)).split()
    if not found:
        return 0, hashlib.sha256()
    there = int(found[0])
    if there <= size and (own := _digest_of_first(file, there)).hexdigest() == found[1]:
        return there, own
    remove(link, partial)
    return 0, hashlib.sha256()


def _time(size: int) -> float:
    """Seconds that a device may take to read so many bytes."""
    return QUICK + size / _SLOWEST


def _digest_of_first(file: Path, count: int) -> hashlib._Hash:
    found = hashlib.sha256()
    with file.open("rb") as opened:
        while count and (chunk := opened.read(min(CHUNK, count))):
            found.update(chunk)
            count -= len(chunk)
    return found


def _rest(file: Path, done: int, own: hashlib._Hash, moved: Callable[[int], object]) -> Iterator[bytes]:
    """The file's bytes behind the first `done`, which the digest `own` has already; it takes these too.

    Those before are not read again: a device that gets nothing for so long would count as stalled.
    """
    with file.open("rb") as opened:
        opened.seek(done)
        while chunk := opened.read(CHUNK):
            own.update(chunk)
            done += len(chunk)
            moved(done)
            yield chunk
