"""The program of a bundle, started on a device; it ends with the connection.

Nothing on a device tells a program that the other side is gone while it computes, so a small shell script stands
between: it hands stdin on, and when stdin ends, it ends the program.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

from edgelm.bundle import MODEL, Bundle
from edgelm.devices.push import Progress, digest
from edgelm.devices.remote import Installed, forget, install
from edgelm.devices.transport import Link
from edgelm.errors import BadFile, EdgelmError, InputError, Unsupported
from edgelm.native.runner import Runner, command

_KILLED = 137  # what a shell makes of SIGKILL
_CANNOT_RUN = (126, 127)
_WRITTEN_SECONDS = 1.0  # until whoever claims a device has written who that is

# $1: a new folder, in which the program's number stands; the rest: the program. The number of what hands stdin on comes
# before stdin itself, so that it is known even if the program ends at once.
_RUN = """
folder=$1
shift
mkdir -p "$folder" || exit 1
exec 3<&0
{
  sh -c 'echo $$; exec cat' <&3
  kill -9 $(cat "$folder/runner")
} 2> /dev/null | {
  exec 3<&-
  read -r input || exit 1
  sh -c 'echo $$ > "$0/runner"; exec "$@"' "$folder" "$@"
  code=$?
  rm -rf "$folder"
  kill "$input" 2> /dev/null
  exit $code
}
"""
# $1: our folder, $2: who claims it, $3: whose claim is broken, if it is still that one's. Says whose it is then.
_CLAIM = """
mkdir -p "$1/run" && cd "$1/run" || exit
owner() { found=; { read -r found < claim/owner; } 2> /dev/null; echo "${found:-nobody}"; }
if [ -d claim ] && [ "$(owner)" = "$3" ]; then rm -rf claim; fi
if [ -d claim ]; then :
elif mkdir claim; then echo "$2" > claim/owner || { rm -rf claim; exit 1; }
elif [ ! -d claim ]; then exit 1
fi
owner
"""
_RELEASE = 'read -r owner < "$1/run/claim/owner"; if [ "$owner" = "$2" ]; then rm -rf "$1/run/claim"; fi'
_CLAIMS = 4  # tries: one for a claim that is not written yet, one to break it, and again for another's meanwhile
_NOBODY = "nobody"  # has a claim that is not written yet, or of which no more was written
_RUNNING = """
cd "$1/run" || exit 0
for name in *; do
  number=$(cat "$name/runner" 2> /dev/null) || continue
  if tr '\\0' ' ' < "/proc/$number/cmdline" 2> /dev/null | grep -qF "$1"; then echo "$name $number"
  else rm -rf "$name"; fi
done
"""


@contextlib.contextmanager
def started(
    link: Link,
    bundle: Bundle,
    *,
    context: int,
    threads: int = 0,
    memory_limit: int = 0,
    launch: Sequence[str] = (),
    keep: int = 2,
    time_limit: float = 0,
    progress: Progress = lambda what, done, of: None,
) -> Iterator[Runner]:
    """The bundle's program on the device, its model loaded; the bundle is installed where it is not.

    One pushes and runs at a time on a device: what an earlier one of this process, or of one that is gone, left is
    ended.
    `launch`: words before the program, such as `taskset f0`. With `keep` 0 the bundle is removed from the device
    afterwards. `time_limit`: seconds until it is ended; 0 sets none.

    Raises:
        Unsupported: the model does not fit; another uses the device; the system ended ours; time is up.
        BadFile: the model is damaged. If it is so on the device alone, it is removed there, to be pushed anew.
        Unreachable, and others: see `install`.
    """
    with _claimed(link) as name:
        _end_what_was_left(link)
        installed = install(link, bundle, progress, keep=keep)
        program = command(
            installed.runner, installed.model, context=context, threads=threads, memory_limit=memory_limit
        )  # fmt: skip
        progress("loading the model", 0, 1)
        words = ["sh", "-c", _RUN, "sh", f"{link.folder}/run/{name}", *launch, *program]
        try:
            with _Timed(link.start(words), time_limit) as timed:
                try:
                    runner = _loaded(link, bundle, installed, timed.process)
                    progress("loading the model", 1, 1)
                    yield runner
                    runner.close()
                except EdgelmError as error:
                    if (other := _behind(link, error, timed)) is None:
                        raise
                    raise other from error
        finally:
            if not keep:
                with contextlib.suppress(EdgelmError):  # what stays is removed by the next that keeps less
                    forget(link, installed)


class _Timed:
    """A process that is ended when its time is up."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        self.process, self.seconds, self.late = process, seconds, False
        self._timer = threading.Timer(seconds, self._end) if seconds else None

    def _end(self) -> None:
        self.late = True
        self._kill()

    def _kill(self) -> None:
        """Its stdin is closed too, which ends what it started."""
        self.process.kill()
        with contextlib.suppress(OSError, ValueError):
            if self.process.stdin:
                self.process.stdin.close()

    def __enter__(self) -> _Timed:
        if self._timer:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()
        self._kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


def _loaded(link: Link, bundle: Bundle, installed: Installed, process: subprocess.Popen[str]) -> Runner:
    try:
        return Runner(process)
    except BadFile as error:
        listed = bundle.listing.files[MODEL]
        if digest(link, installed.model, listed.size) == listed.sha256:
            error.why = (
                error.why or f"all of it is on {link.name}; one that has too little memory can fail like this too"
            )
            raise
        forget(link, installed)
        raise BadFile(
            f"{MODEL} was damaged on {link.name}", why=error.what,
            mend="give the command again: it was removed there, and will be pushed anew",
        ) from None  # fmt: skip


def _behind(link: Link, error: EdgelmError, timed: _Timed) -> EdgelmError | None:
    """What stands behind an error, if it is something else: a lost connection looks like a program that ended."""
    code = timed.process.poll()
    if timed.late:
        return Unsupported(
            f"{link.name} was not done after {timed.seconds:g} s",
            mend="raise time_limit=…, or lower --prompt-tokens, --generated-tokens or --repeats",
        )
    if code is None or isinstance(error, InputError):
        return None
    if code == _KILLED:
        return Unsupported(
            f"the system of {link.name} ended the program", why="it does so when memory is full",
            mend="close other programs there, lower the number of tokens, or compress further",
        )  # fmt: skip
    words = error.why.partition(": ")[2]  # behind "it ended with …"
    if code in _CANNOT_RUN:
        return Unsupported(f"{link.name} cannot run the bundle's program", why=words,
                           mend="give a bundle that was made for it; launch=… names what should run it")  # fmt: skip
    return link.explain(code, words)


@contextlib.contextmanager
def _claimed(link: Link) -> Iterator[str]:
    """A name under which the device is ours: nobody else removes there what is being pushed, or starts a program.

    Raises:
        Unsupported: a process that may still live has claimed it.
    """
    own, broken = f"{_host()}.{os.getpid()}.{secrets.token_hex(4)}", ""
    for left in reversed(range(_CLAIMS)):
        if (owner := link.script(_CLAIM, link.folder, own, broken).strip()) == own:
            break
        if not left:
            raise Unsupported(f"{link.name} could not be claimed", why=f"{link.folder}/run/claim stays as it is",
                              mend=f"remove it: {link.typed(['rm', '-rf', f'{link.folder}/run/claim'])}")  # fmt: skip
        if owner == _NOBODY:
            time.sleep(_WRITTEN_SECONDS)
        elif not _left_behind(owner):
            host, process, _ = owner.rsplit(".", 2)
            free = link.typed(["rm", "-rf", f"{link.folder}/run/claim"])
            raise Unsupported(f"{link.name} is in use by process {process} of {host}",
                              why="two at once would remove each other's files, and share its memory and its time",
                              mend=f"wait for it; if it is gone: {free}")  # fmt: skip
        broken = owner
    try:
        yield own
    finally:
        with contextlib.suppress(EdgelmError):  # a claim that stays is broken once this process is gone
            link.script(_RELEASE, link.folder, own)


def _end_what_was_left(link: Link) -> None:
    """End programs of ours whose connection was lost, which the device may not have noticed.

    Raises:
        Unsupported: one is running for a process that may still want it.
    """
    for row in link.script(_RUNNING, link.folder).splitlines():
        name, number = row.split()
        if not _left_behind(name):
            host, process, _ = name.rsplit(".", 2)
            raise Unsupported(f"{link.name} runs a model for process {process} of {host}",
                              why="two at once would share its memory and its time",
                              mend=f"wait for it, or end it: {link.typed(['kill', number])}")  # fmt: skip
        link.script('kill -9 "$1" || true; rm -rf "$2"', number, f"{link.folder}/run/{name}")


def _left_behind(name: str) -> bool:
    """Whether what has this name is of a process that is gone, or an earlier one of this process."""
    host, process, _ = name.rsplit(".", 2)
    return host == _host() and (int(process) == os.getpid() or not _lives(int(process)))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def _host() -> str:
    return re.sub(r"[^\w-]", "-", platform.node()) or "host"
