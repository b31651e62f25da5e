"""The trial of a box: a program within tries to get out, and another is killed with all that it started."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from edgelm import seccomp
from edgelm.errors import Unsupported

_SECONDS = 60  # for the program that tries to get out
_DEATH = 5.0  # seconds for what was killed to fall silent
_BEAT = 0.02
_PERMIT = (
    "permit user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 on newer Ubuntu; in a container, "
    "run it with --security-opt seccomp=unconfined, or the worker on the host itself"
)
_DAEMON = f"""
import os, sys, time
if os.fork(): time.sleep({_SECONDS})
os.setsid()
if os.fork(): os._exit(0)
while True:
    with open(sys.argv[1], "a") as file: file.write("x")
    time.sleep({_BEAT})
"""


class Box(Protocol):
    """What is tried."""

    def words(self, words: Any, readable: Any = (), writes: Path | None = None) -> tuple[str, ...]:
        """The command that runs another within."""
        ...

    def env(self) -> dict[str, str]:
        """Its environment."""
        ...

    def prepare(self, writes: Path) -> None:
        """Make the folder that it may write to."""
        ...


def tried(box: Box) -> dict[str, Any]:
    """What was found: `tried`, all that was, and `holes`, all that was possible.

    Raises:
        Unsupported: the box does not start.
    """
    with _bait() as bait, tempfile.TemporaryDirectory(prefix="edgelm-box-", dir="/var/tmp") as name:
        readable, writes = Path(name) / "readable", Path(name) / "writes"
        readable.mkdir()
        Path(name).chmod(0o755)
        box.prepare(writes)
        program = (files("edgelm.server.worker.boxes") / "escape.py").read_text(encoding="utf-8")
        orders = bait | {"readable": str(readable), "writes": str(writes), "known": sorted(box.env()),
                         "calls": seccomp.denied()}  # fmt: skip
        words = box.words([sys.executable, "-I", "-S", "-c", program, json.dumps(orders)], [readable], writes)
        try:
            done = subprocess.run(words, capture_output=True, timeout=_SECONDS, env=box.env(), cwd="/", check=False)
            found: dict[str, Any] = json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            raise Unsupported("it does not start", why=f"nothing came in {_SECONDS} seconds", mend=_PERMIT) from None
        except ValueError:
            said = done.stderr.decode(errors="replace").strip()[-500:] or f"it ended with {done.returncode}"
            raise Unsupported("it does not start", why=said, mend=_PERMIT) from None
        found["tried"].append("daemon left")
        if _outlives(box, writes):
            found["holes"]["daemon left"] = "it was not seen to end with the box"
    if found["holes"]:
        raise Unsupported("it does not hold", why=json.dumps(found["holes"], sort_keys=True), mend=_PERMIT)
    return found


def _outlives(box: Box, writes: Path) -> bool:
    """Whether a daemon goes on after the processes at our side were killed."""
    beats = writes / "beats"
    words = box.words([sys.executable, "-I", "-S", "-c", _DAEMON, str(beats)], [], writes)
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                          env=box.env(), cwd="/", start_new_session=True) as process:  # fmt: skip
        deadline = time.monotonic() + _SECONDS
        while not beats.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(_BEAT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    before, deadline = -1, time.monotonic() + _DEATH
    while (now := beats.stat().st_size if beats.exists() else -1) != before:
        if time.monotonic() > deadline:
            return True
        before = now
        time.sleep(10 * _BEAT)
    return before < 0  # it never ran, so nothing was shown


@contextlib.contextmanager
def _bait() -> Iterator[dict[str, Any]]:
    """What must not be reached from within: a file, a port, a name, a process and a variable of this host."""
    secret = secrets.token_hex(16)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="edgelm-bait-", dir="/var/tmp"))
        file.write(secret.encode())
        file.flush()
        Path(file.name).chmod(0o644)
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        named = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        named.bind(f"\0{secret}")
        named.listen()
        process = subprocess.Popen(["sleep", str(2 * _SECONDS)])
        try:
            yield {"file": file.name, "port": port.getsockname()[1], "name": secret, "process": process.pid}
        finally:
            process.kill()
            process.wait()
