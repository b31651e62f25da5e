"""A link to a device: commands in its shell, with time limits, every failure explained.

`adb shell` and `ssh` both hand one line to the shell on the other side; the words of a command are quoted here, once.
Commands are logged (`edgelm.devices.transport`, level INFO) as they would be typed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import IO

from edgelm.errors import BadOption, EdgelmError, InputError, NoSpace, Unsupported

QUICK = 30  # seconds that a command may take which only looks at something
LOST = 255  # exit code of adb and ssh when the connection ended

_log = logging.getLogger(__name__)


class Unreachable(InputError):
    """The device does not answer, or the connection to it ended; what was pushed whole is still there."""


@dataclass(frozen=True)
class Link:
    """A way to run commands on one device.

    Attributes:
        name: the device's spec, such as `adb:R58M` or `ssh:user@host`.
        prefix: the local command that takes one more word, the line for the device's shell.
        folder: ours on the device, an absolute path.
        explain: the error that an exit code and the last words of `prefix` itself stand for; None if it did its part.
    """

    name: str
    prefix: tuple[str, ...]
    folder: str
    explain: Callable[[int, str], InputError | None] = lambda code, words: None

    def run(self, argv: Sequence[str], *, seconds: float = QUICK, input: bytes | None = None) -> str:
        """What a command prints on the device.

        Raises:
            Unreachable: no answer in so many seconds, or the connection ended.
            NoSpace, BadOption, Unsupported: the device's disk is full, it permits it not, or lacks the program.
            EdgelmError: the command failed for another reason; its last words are quoted.
        """
        done = ran([*self.prefix, line(argv)], self.name, seconds, input)
        if done.returncode:
            raise self.failure(argv, done.returncode, done.stderr)
        return done.stdout

    def script(self, text: str, *words: str, seconds: float = QUICK) -> str:
        """What a script of the POSIX shell prints, called with these words as `$1`, `$2` and so on."""
        return self.run(["sh", "-c", text, "sh", *words], seconds=seconds)

    def start(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        """A running command with streams of text."""
        words, pipe = [*self.prefix, line(argv)], subprocess.PIPE
        _log.info("$ %s", shlex.join(words))
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8",
                                errors="replace", env=_environment())  # fmt: skip

    def feed(self, argv: Sequence[str], chunks: Iterable[bytes], *, stalled: float = 60, after: float = 60) -> str:
        """Hand bytes to a command's stdin, and give what it prints.

        It is ended when nothing moves for `stalled` seconds, or when it runs for `after` seconds behind the last byte.

        Raises:
            as `run`.
        """
        words = [*self.prefix, line(argv)]
        _log.info("$ %s < …", shlex.join(words))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=out, stderr=said, env=_environment(),
                                       start_new_session=True)  # fmt: skip
            with _Watch(process, stalled) as watch:
                assert process.stdin
                with contextlib.suppress(BrokenPipeError):  # it ended early; its exit code says why
                    for chunk in chunks:
                        process.stdin.write(chunk)
                        process.stdin.flush()
                        watch.moved()
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                watch.moved(after)
                code = process.wait()
            if watch.late:
                raise silent(self.name, watch.seconds, words)
            if code:
                raise self.failure(argv, code, _all(said))
            return _all(out)

    def typed(self, argv: Sequence[str]) -> str:
        """A command as one would type it here."""
        return shlex.join([*self.prefix, line(argv)])

    def failure(self, argv: Sequence[str], code: int, words: str) -> EdgelmError:
        """The error that a failed command stands for."""
        words = last(words)
        return self.explain(LOST if code < 0 else code, words) or _refused(self.name, argv, code, words)


def line(argv: Sequence[str]) -> str:
    """The words of a command as one line that a POSIX shell parts into the same words."""
    return shlex.join(argv)


def last(words: str, lines: int = 6) -> str:
    """The last lines of what a program said."""
    return "\n".join(words.strip().splitlines()[-lines:])


def ran(
    words: Sequence[str], name: str, seconds: float, input: bytes | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a local program to its end, whatever its exit code.

    Raises:
        Unreachable: it did not end in time; it has been killed.
    """
    _log.info("$ %s", shlex.join(words))
    try:
        done = subprocess.run(words, input=input, stdin=subprocess.DEVNULL if input is None else None,
                              capture_output=True, timeout=seconds, env=_environment(), check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        raise silent(name, seconds, words) from None
    out, said = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(words, done.returncode, out, said)


def silent(name: str, seconds: float, words: Sequence[str]) -> Unreachable:
    """The error for a device that does not answer."""
    return Unreachable(
        f"{name} did not answer for {seconds:g} s", why=f"{shlex.join(words)[:300]} was ended",
        mend="wake and unlock the device, check its cable or network, then give the command again",
    )  # fmt: skip


def _refused(name: str, argv: Sequence[str], code: int, words: str) -> EdgelmError:
    """The error for a command that the device itself refused."""
    if "No space left on device" in words or "Disk quota exceeded" in words:
        return NoSpace(f"{name} has no space left", why=words, mend="free some on the device, or name another folder=…")
    for reason in ("Permission denied", "Read-only file system", "Operation not permitted"):
        if reason in words:
            return BadOption(f"{name} does not permit it: {reason.lower()}", why=words,
                             mend="name a folder that you may write to: folder=…")  # fmt: skip
    if code == 127:
        return Unsupported(f"{name} lacks a program", why=words or argv[0], mend="install it there (in Termux: pkg)")
    command = line(argv)
    return EdgelmError(f"a command failed on {name} with exit code {code}", why=words or "it said nothing",
                       mend=f"try it by hand: {command if len(command) < 300 else command[:300] + '…'}")  # fmt: skip


def _environment() -> dict[str, str]:
    return os.environ | {"LC_ALL": "C"}  # what is explained is looked for in English


def _all(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


class _Watch:
    """Kills a process, which leads its own group, when nothing moved for so many seconds, and when its block ends."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.late, self.seconds = False, seconds
        self._process, self._ended, self._move = process, False, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def moved(self, seconds: float | None = None) -> None:
        """Something moved: the time begins anew, perhaps another one."""
        if not self.late:
            self.seconds = seconds or self.seconds
            self._move.set()

    def _run(self) -> None:
        while self._move.wait(self.seconds):
            self._move.clear()
            if self._ended:
                return
        self.late = True
        self._kill()

    def _kill(self) -> None:
        """All of the group: one that is left would hold on to the pipe that is being written to."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._move.set()
        self._thread.join()
        if self._process.poll() is None:
            self._kill()
        self._process.wait()
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
