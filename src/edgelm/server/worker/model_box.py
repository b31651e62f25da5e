"""The box that a submitted model runs in: bubblewrap around the interpreter, with no network and nothing of the host.

A model sees its weights and the runtime, read-only, a private `/tmp` in memory, one folder to write to, a few devices,
and nothing else: no other process, no home, no environment but its own. What the box holds is tried before the first
job, by a program that tries to get out; a box that does not hold is not used. Of the ways to make one the first that
holds is taken. There is one that holds nothing, for development: its results say so, and count for nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import edgelm
from edgelm.errors import Unsupported

NOBODY = 65534
PROCESSES = 400  # and threads, of the box's user
SCRATCH = 512 << 20  # bytes of the private /tmp
LARGEST = 900 << 20  # bytes of a file
_SECONDS = 60  # for the program that tries to get out
_OWN = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}
_QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "EDGELM_OFFLINE": "1", "GOMP_SPINCOUNT": "1000"}
_INSTALL = "install it: apt-get install bubblewrap"
_PERMIT = (
    "permit user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 on newer Ubuntu; in a container, "
    "run it with --security-opt seccomp=unconfined, or the worker on the host itself"
)


@dataclass(frozen=True)
class ModelBox:
    """A way to run a command that was tried and holds, or none at all.

    Attributes:
        kind: `bubblewrap`, or `none`.
        program: bubblewrap itself.
        facts: what was found when it was tried, and why better ways were left out: stamped on every result.
        devices: of an accelerator, to be seen within.
    """

    kind: str
    program: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    devices: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether results made in it count."""
        return self.kind != "none"

    def words(self, words: Iterable[str], readable: Iterable[Path] = (), writes: Path | None = None) -> tuple[str, ...]:
        """The command that runs another within.

        Args:
            words: the command.
            readable: what it sees beside the runtime, read-only, at the same places as outside.
            writes: the folder that it may write to; `prepare` it before.
        """
        if self.kind == "none":
            return tuple(words)
        walls = [
            self.program, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
            "--hostname", "box", "--new-session", "--die-with-parent", "--cap-drop", "ALL",
            "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev",
        ]  # fmt: skip
        for name in ("/dev/shm", "/tmp"):
            walls += ["--perms", "1777", "--size", str(SCRATCH), "--tmpfs", name]
        for name in ("/lib", "/lib32", "/lib64", "/bin", "/sbin"):
            link = Path(name).is_symlink()
            walls += ["--symlink", str(Path(name).readlink()), name] if link else ["--ro-bind-try", name, name]
        walls += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        places = (*_runtime(), *readable)
        mounts = (*places, *([writes] if writes else []))
        for above in dict.fromkeys(up for place in mounts for up in reversed(place.parents[:-1])):
            walls += ["--perms", "0755", "--dir", str(above)]  # it may be root's alone outside
        for place in places:
            walls += ["--ro-bind", str(place), str(place)]
        for device in self.devices:
            walls += ["--dev-bind", device, device]
        if writes is not None:
            walls += ["--bind", str(writes), str(writes)]
        walls += ["--remount-ro", "/", "--chdir", "/tmp"]
        if as_nobody := _as_nobody():  # what it takes to become somebody else, and is given up with that
            walls += [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
        return (*walls, *as_nobody, "prlimit", f"--nproc={PROCESSES}", f"--fsize={LARGEST}", "--core=0", *words)

    def env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a command within."""
        return {**_OWN, **_QUIET, "PATH": f"{Path(sys.executable).parent}:{_OWN['PATH']}", **(more or {})}

    def prepare(self, writes: Path) -> None:
        """Make a folder that a command within may write to, and nobody else."""
        writes.mkdir(parents=True, exist_ok=True)
        if self.holds and os.geteuid() == 0:
            for path in (writes, *writes.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def find_box(*, unsafe: bool = False, devices: Iterable[str] = ()) -> ModelBox:
    """The first way to make a box that holds here.

    Args:
        unsafe: take none at all if there is no other; for development.
        devices: such as `/dev/nvidia0`, to be seen within.

    Raises:
        Unsupported: none holds, with the reason of each.
    """
    reasons = {}
    try:
        return _bubblewrap(tuple(devices))
    except Unsupported as error:
        reasons["bubblewrap"] = f"{error.what}: {error.why}" if error.why else error.what
        mend = error.mend
    reasons |= dict.fromkeys(("podman", "docker"), "not tried: boxes are made by bubblewrap alone")
    if unsafe:
        return ModelBox("none", facts={"box": "none", "skipped": reasons})
    raise Unsupported("there is no box to run submitted models in",
                      why="; ".join(f"{name}: {why}" for name, why in reasons.items()),
                      mend=f"{mend}; --unsafe-no-sandbox runs models unconfined, for development")  # fmt: skip


def _bubblewrap(devices: tuple[str, ...]) -> ModelBox:
    program = shutil.which("bwrap")
    if program is None:
        raise Unsupported("it is not installed", mend=_INSTALL)
    box = ModelBox("bubblewrap", program, devices=devices)
    found = tried(box)
    if found["holes"]:
        raise Unsupported("it does not hold", why=json.dumps(found["holes"], sort_keys=True), mend=_PERMIT)
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return ModelBox("bubblewrap", program, {"box": version, "tried": found["tried"]}, devices)


def tried(box: ModelBox) -> dict[str, Any]:
    """What a program that tries to get out of a box found: `tried`, all that was, and `holes`, all that it could.

    Raises:
        Unsupported: the box does not start.
    """
    with _bait() as bait, tempfile.TemporaryDirectory(prefix="edgelm-box-", dir="/var/tmp") as name:
        readable, writes = Path(name) / "readable", Path(name) / "writes"
        readable.mkdir()
        Path(name).chmod(0o755)
        box.prepare(writes)
        program = (files("edgelm.server.worker") / "escape.py").read_text(encoding="utf-8")
        orders = bait | {"readable": str(readable), "writes": str(writes), "known": sorted(box.env())}
        words = box.words([sys.executable, "-I", "-S", "-c", program, json.dumps(orders)], [readable], writes)
        try:
            done = subprocess.run(words, capture_output=True, timeout=_SECONDS, env=box.env(), cwd="/", check=False)
            found: dict[str, Any] = json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            raise Unsupported("it does not start", why=f"nothing came in {_SECONDS} seconds", mend=_PERMIT) from None
        except ValueError:
            said = done.stderr.decode(errors="replace").strip()[-500:] or f"it ended with {done.returncode}"
            raise Unsupported("it does not start", why=said, mend=_PERMIT) from None
    return found


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


def _runtime() -> list[Path]:
    """The interpreter, what is installed for it, and this package: where commands within find them."""
    places = [Path(sys.base_prefix), Path(sys.prefix), Path(edgelm.__file__).parent]
    shown = [place for place in dict.fromkeys(places) if not place.is_relative_to("/usr")]
    return [place for place in shown if not any(place != other and place.is_relative_to(other) for other in shown)]


def _as_nobody() -> list[str]:
    """Words before a command that make it nobody's: the system does not limit root's processes."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all",
            "--bounding-set=-all", "--no-new-privs", "--"]  # fmt: skip
