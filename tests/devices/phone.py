"""The virtual phone: a folder behind a real `sshd` on loopback, with the memory limit of a phone.

`virtual_phone(folder)` starts it. Its host is called `phone` in `config`, an ssh configuration of its own, so that
nothing of the user's is read or written. Programs for aarch64 are run with `launch=qemu-aarch64-static`; `uname` says
what `machine` is. All ends with the block.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/user.pub
AuthenticationMethods publickey
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PrintMotd no
ForceCommand {folder}/shell
"""
_CLIENT = """
Host phone
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/user
  IdentityAgent none
  UserKnownHostsFile {folder}/known
  GlobalKnownHostsFile /dev/null
"""
_SHELL = """#!/bin/sh
export HOME={folder}/home PATH={folder}/bin:$PATH
cd
. {folder}/limits
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""


@dataclass(frozen=True)
class Phone:
    """A virtual phone that is on.

    Attributes:
        folder: of what it is made; its user's own folder is `home` in it.
        port: where it listens, on loopback.
        listener: the process that does.
    """

    folder: Path
    port: int
    listener: int

    @property
    def home(self) -> Path:
        """The folder that its user has."""
        return self.folder / "home"

    @property
    def config(self) -> Path:
        """The ssh configuration that knows it as `phone`."""
        return self.folder / "config"

    @property
    def spec(self) -> str:
        """The device's spec, to which options may be added."""
        return f"ssh:phone,config={self.config}"

    def limit(self, memory: int | None) -> None:
        """Let every program started from now on have this many bytes of addresses; None for no limit."""
        (self.folder / "limits").write_text(f"ulimit -v {memory // 1024}\n" if memory else "")

    def be(self, machine: str) -> None:
        """Have `uname -m` say so."""
        self.has("uname", f'if [ "$1" = -m ]; then echo {machine}; else exec /usr/bin/uname "$@"; fi')

    def reset(self) -> None:
        """Be as at first, but for what lies in its user's folder."""
        for file in (self.folder / "bin").iterdir():
            file.unlink()
        self.limit(None)
        self.be("aarch64")

    def has(self, program: str, script: str) -> None:
        """Put a program of its own before those of this machine."""
        file = self.folder / "bin" / program
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def cut(self) -> None:
        """End all connections, as when the network goes; what runs on the phone is not told."""
        for child in _children(self.listener):
            for process in (*_children(child), child):
                if _name(process) in ("sshd", "sshd-session", "sshd-auth"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)


@contextlib.contextmanager
def virtual_phone(folder: Path, machine: str = "aarch64") -> Iterator[Phone]:
    """Start one in a new folder, or skip the test where there is no sshd."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not sshd or not shutil.which("ssh"):
        pytest.skip("there is no sshd: apt-get install openssh-server openssh-client")
    if os.getuid() == 0:  # where it drops its rights
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for made in (folder, folder / "home", folder / "bin"):
        made.mkdir(parents=True)
    for name in ("host", "user", "stranger"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True, timeout=30)
    port = _free_port()
    values = {"folder": folder, "port": port, "user": getpass.getuser()}
    (folder / "sshd_config").write_text(_CONFIG.format(**values))
    (folder / "config").write_text(_CLIENT.format(**values))
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "shell").write_text(_SHELL.format(**values))
    (folder / "shell").chmod(0o755)
    with (folder / "log").open("wb") as log:
        words = [sshd, "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        phone = Phone(folder, port, process.pid)
        phone.limit(None)
        phone.be(machine)
        try:
            _wait_for(process, phone)
            yield phone
        finally:
            phone.cut()
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], phone: Phone) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", phone.port), timeout=1):
            return
        time.sleep(0.02)
    pytest.skip(f"sshd cannot be started here: {(phone.folder / 'log').read_text()[-300:]}")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _children(process: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, rest = status.read_text().partition(" (")
            if int(rest.rpartition(") ")[2].split()[1]) == process:
                found.append(int(number))
    return found


def _name(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/comm").read_text().strip()
    return ""
