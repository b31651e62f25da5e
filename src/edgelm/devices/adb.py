"""An Android phone at a USB cable or on the network, through the Android debug bridge."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from edgelm.devices.remote_device import Remote
from edgelm.devices.transport import LOST, QUICK, Link, Unreachable, last, ran
from edgelm.errors import BadOption, InputError, MissingInput

_ALLOW = "unlock the phone, allow USB debugging for this computer in the dialog there, then give the command again"
_REPLUG = "unlock the phone, plug its cable in again (or adb reconnect), then give the command again"
_STATES = {  # of `adb devices`: what is the matter, and the mend
    "unauthorized": ("does not trust this computer yet", _ALLOW),
    "authorizing": ("is asking whether it may trust this computer", _ALLOW),
    "offline": ("does not answer: it sleeps, or its connection hangs", _REPLUG),
    "connecting": ("is still connecting", _REPLUG),
    "no permissions": ("may not be used by this user", "apt-get install android-sdk-platform-tools-common, which has "
                       "the udev rules; join the group plugdev and plug the cable in again"),
    "recovery": ("is in recovery mode", "start it as usual"),
    "sideload": ("is in sideload mode", "start it as usual"),
    "bootloader": ("is in its bootloader", "start it as usual: fastboot reboot"),
}  # fmt: skip


@dataclass(frozen=True)
class Adb(Remote):
    """A bundle is pushed below `folder`, and its runner is started from `adb shell`."""

    POSITIONAL: ClassVar[str] = "serial"

    serial: str = ""  # of the phone, as `adb devices` has it; needed where several are connected
    folder: str = "/data/local/tmp/edgelm"  # ours on the phone

    def __post_init__(self) -> None:
        """Refuse a folder that is no place of its own."""
        super().__post_init__()
        if not re.fullmatch(r"/.*[^/].*", self.folder):
            raise BadOption(f"folder={self.folder} is no place on a phone",
                            mend="give an absolute path of a folder for edgelm alone")  # fmt: skip

    @contextlib.contextmanager
    def connected(self) -> Iterator[Link]:
        """A link to the phone.

        Raises:
            MissingInput: there is no program adb, no phone, or none of this serial.
            BadOption: there are several, and none is named.
            Unreachable: the phone is asleep, or does not trust this computer.
        """
        adb = shutil.which("adb")
        if adb is None:
            raise MissingInput("the program adb is not installed", mend="install it: apt-get install adb")
        serial = self._serial(adb)
        name = f"adb:{serial}"

        def explain(code: int, words: str) -> InputError | None:
            return _explained(name, code, words)

        yield Link(name, (adb, "-s", serial, "shell", "-T"), self.folder.rstrip("/"), explain)

    def _serial(self, adb: str) -> str:
        """The phone that is meant, if it is ready."""
        done = ran([adb, "devices", "-l"], "adb", QUICK)
        if done.returncode:
            raise Unreachable("adb does not work", why=last(done.stdout + done.stderr) or "it said nothing",
                              mend="try by hand: adb kill-server; adb devices")  # fmt: skip
        phones = dict(filter(None, map(_phone, done.stdout.splitlines())))
        wanted = self.serial or os.environ.get("ANDROID_SERIAL", "")
        if not phones:
            raise MissingInput("no phone is connected", why="adb devices lists none",
                               mend="allow USB debugging in the phone's developer options and plug its cable in, or "
                               "reach it over the network: adb connect ADDRESS")  # fmt: skip
        listed = ", ".join(f"{serial} ({state})" for serial, state in phones.items())
        if wanted and wanted not in phones:
            raise MissingInput(f"no phone called {wanted} is connected", why=f"these are: {listed}",
                               mend=f"name one of them: adb:{next(iter(phones))}")  # fmt: skip
        ready = [serial for serial, state in phones.items() if state == "device"]
        if not wanted and len(phones) > 1 and len(ready) != 1:
            raise BadOption(f"{len(phones)} phones are connected", why=listed,
                            mend=f"name the one that is meant: adb:{(ready or list(phones))[0]}")  # fmt: skip
        serial = wanted or (ready or list(phones))[0]
        if phones[serial] != "device":
            what, mend = _STATES.get(phones[serial], (f"is in the state '{phones[serial]}'", _REPLUG))
            raise Unreachable(f"adb:{serial} {what}", mend=mend)
        return serial


def _phone(row: str) -> tuple[str, str] | None:
    """Serial and state of a row of `adb devices -l`."""
    match = re.match(r"(\S+)\s+(no permissions|\w+)\b", row)
    return (match[1], match[2]) if match and not row.startswith(("List of devices", "*")) else None


def _explained(name: str, code: int, words: str) -> InputError | None:
    """What adb itself complains of; None when the command on the phone did."""
    if code not in (1, LOST):
        return None
    said = "\n".join(row for row in words.splitlines() if row.startswith(("error:", "adb:")))
    for state, (what, mend) in _STATES.items():
        if re.search(rf"^(error|adb): (device )?(still )?{state}", said, re.MULTILINE):
            return Unreachable(f"{name} {what}", why=said, mend=mend)
    if re.search(r"not found|no devices|closed|protocol fault|daemon|connection reset|failed to", said) or code == LOST:
        return Unreachable(f"the connection to {name} ended", why=said or words or "adb said nothing",
                           mend="check the cable and that the phone stays awake, then give the command again: it goes "
                           "on with what is there")  # fmt: skip
    return None
