"""A machine that ssh reaches: Termux on a phone, a Raspberry Pi, a Jetson."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from edgelm.devices.remote_device import Remote
from edgelm.devices.transport import LOST, QUICK, Link, Unreachable, last, ran
from edgelm.errors import BadOption, EdgelmError, InputError, MissingInput

_SECONDS = 10  # until a machine that does not answer is given up
_OPTIONS = {
    "BatchMode": "yes",  # never asks a question
    "ConnectTimeout": str(_SECONDS),
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "4",
    "ControlPersist": "300",  # seconds that the shared connection stays if we are killed
    "LogLevel": "ERROR",
}
_FAULTS = (  # what ssh says, what it means, and the mend; {host} is replaced
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "the host key of {host} is another one than before",
     "find out why; if it is meant to be: ssh-keygen -R HOST, then connect once by hand"),
    ("Host key verification failed", "the host key of {host} is not known here",
     "connect once by hand and compare the fingerprint: ssh {host}"),
    ("Permission denied (", "{host} does not let this user in",
     "let a key of yours in: ssh-copy-id {host}; name it with key=FILE; a key with a pass phrase needs ssh-agent"),
    ("Too many authentication failures", "{host} refused too many keys", "name the right one: key=FILE"),
    ("Could not resolve hostname", "there is no machine called {host}", "check the name, or give its address"),
    ("Connection refused", "nothing listens there on {host}", "start sshd on it (in Termux: sshd, on port=8022)"),
    ("timed out", "{host} does not answer", "check that it is on, awake and in the same network"),
    ("No route to host", "{host} cannot be reached", "check that it is on, awake and in the same network"),
    ("Network is unreachable", "{host} cannot be reached", "check the network of this computer"),
    ("UNPROTECTED PRIVATE KEY FILE", "others may read the key", "chmod 600 the file that key=… names"),
    ("not allowed", "the account of {host} is closed to ssh", "ask who runs it"),
)  # fmt: skip


@dataclass(frozen=True)
class Ssh(Remote):
    """A bundle is pushed below `folder`, and its runner is started through a shared connection that asks nothing."""

    POSITIONAL: ClassVar[str] = "host"

    host: str  # user@host, or a name of ~/.ssh/config
    port: int = 0  # 0 leaves what ~/.ssh/config says, or 22
    folder: str = ".cache/edgelm"  # ours on the machine; relative to the user's own folder there
    key: str = ""  # file of the private key; empty leaves ssh's choice
    config: str = ""  # file to read in place of ~/.ssh/config

    def __post_init__(self) -> None:
        """Refuse what ssh would take for something else."""
        super().__post_init__()
        if not re.fullmatch(r"[^\s-][^\s]*", self.host):
            raise BadOption(f"'{self.host}' is no host", mend="write ssh:user@host")
        if not 0 <= self.port < 2**16:
            raise BadOption(f"port={self.port} is no port", mend="give 1 to 65535; Termux has 8022")
        if not self.folder.strip("/."):
            raise BadOption(f"folder={self.folder} is no place of its own", mend="name a folder for edgelm alone")

    @contextlib.contextmanager
    def connected(self) -> Iterator[Link]:
        """A link to the machine over one connection, which is closed when the block ends.

        Raises:
            MissingInput: there is no program ssh, or no machine of that name.
            Unreachable: it does not answer, or does not let us in.
            BadOption: the folder cannot be made there.
        """
        ssh = shutil.which("ssh")
        if ssh is None:
            raise MissingInput("the program ssh is not installed", mend="install it: apt-get install openssh-client")
        name = f"ssh:{self.host}"
        for option in ("key", "config"):
            if (file := getattr(self, option)) and not Path(file).expanduser().is_file():
                raise MissingInput(f"there is no file {file}", mend=f"check {option}=…")

        def explain(code: int, words: str) -> InputError | None:
            return _explained(name, self.host, words) if code == LOST else None

        with tempfile.TemporaryDirectory(prefix="edgelm-") as folder:
            socket = Path(folder) / "s"
            base = [ssh, *self._flags(), "-S", str(socket)]
            _open(base, self.host, name)
            try:
                prefix = (*base, "-o", "ControlMaster=no", "-T", "--", self.host)
                yield Link(name, prefix, self._place(Link(name, prefix, "/", explain)), explain)
            finally:
                if socket.exists():
                    ran([*base, "-O", "exit", "--", self.host], name, QUICK)

    def _place(self, link: Link) -> str:
        """The absolute path of our folder, which is made."""
        try:
            told = link.script('mkdir -p "$1" && cd "$1" && pwd', self.folder)
            return told.strip().rpartition("\n")[2]  # behind what the user's own start-up files print
        except Unreachable:
            raise
        except EdgelmError as error:
            raise BadOption(f"there can be no folder {self.folder} on {link.name}", why=error.why,
                            mend="name another: folder=…") from None  # fmt: skip

    def _flags(self) -> list[str]:
        flags = [word for key, value in _OPTIONS.items() for word in ("-o", f"{key}={value}")]
        flags += ["-p", str(self.port)] if self.port else []
        flags += ["-i", str(Path(self.key).expanduser()), "-o", "IdentitiesOnly=yes"] if self.key else []
        return flags + (["-F", str(Path(self.config).expanduser())] if self.config else [])


def _open(base: list[str], host: str, name: str) -> None:
    """Make the connection that all commands share; it goes on in the background, so its words go into a file."""
    with tempfile.TemporaryFile() as said:
        words = [*base, "-o", "ControlMaster=yes", "-f", "-N", "--", host]
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
                                  timeout=QUICK + _SECONDS, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unreachable(f"{name} let us wait for {QUICK + _SECONDS} s", mend="try by hand: ssh " + host) from None
        if done.returncode:
            said.seek(0)
            raise _explained(name, host, said.read().decode(errors="replace"))


def _explained(name: str, host: str, words: str) -> InputError:
    """What ssh itself complains of."""
    for said, what, mend in _FAULTS:
        if said in words:
            kind = MissingInput if said == "Could not resolve hostname" else Unreachable
            return kind(what.format(host=host), why=last(words), mend=mend.format(host=host))
    return Unreachable(f"the connection to {name} ended", why=last(words) or "ssh said nothing",
                       mend="check the network and that the machine stays awake, then give the command again: it goes "
                       "on with what is there")  # fmt: skip
