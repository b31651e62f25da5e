"""A phone for `adb`: speaks the command line that edgelm uses, on this machine, with the faults that phones have.

`FakeAdb(folder)` puts a program `adb` into `folder/path`. What it is to do wrong stands in `folder/faults.json`:

- `phones`: state by serial, as `adb devices` tells it; one that is ready unless told otherwise
- `machine`: what `uname -m` says
- `free`: KiB that `df` says are free
- `noexec`: programs cannot be run: chmod does nothing
- `commands`: commands until the phone is gone (once)
- `bytes`: bytes of stdin until the phone is gone (once)
- `full`: bytes of stdin until the phone's disk is full (once)
- `questions`: lines of stdin to a running program until the phone is gone (once)
- `flip`: number of the byte of stdin in which a bit is flipped (once)
- `hang`: the phone does not answer
- `slow`: seconds before every piece of stdin goes on
- `daemon`: adb itself does not work
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

SERIAL = "R58M"
_SIGNS = {"bytes": "cat >> ", "full": "cat >> ", "flip": "cat >> ", "questions": "exec cat"}  # of the commands meant
_PROGRAMS = {
    "uname": 'if [ "$1" = -m ]; then echo {machine}; else exec /usr/bin/uname "$@"; fi',
    "df": 'echo "Filesystem 1024-blocks Used Available Capacity Mounted on"; '
    'echo "/dev/block/dm 9000000 1000 {free} 1% /data user"',
    "getprop": "case $1 in ro.product.model) echo Pixel 0;; ro.product.manufacturer) echo Example;; "
    "ro.build.version.release) echo 14;; ro.soc.model) echo SM0000;; *) echo;; esac",
    "dumpsys": "case $1 in battery) echo '  AC powered: false'; echo '  USB powered: true'; echo '  level: 87'; "
    "echo '  temperature: 305';; power) echo '  mWakefulness=Awake';; esac",
    "chmod": '{noexec} || exec /bin/chmod "$@"',
}


class FakeAdb:
    """The phone as a test sees it."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "path"
        self.path.mkdir(parents=True)
        (folder / "bin").mkdir()
        program = self.path / "adb"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{__file__}" "{folder}" "$@"\n')
        program.chmod(0o755)
        self.faults()

    def faults(self, **faults):
        """Break what is named, and nothing else."""
        (self.folder / "faults.json").write_text(json.dumps({"phones": {SERIAL: "device"}} | faults))
        words = {"machine": faults.get("machine", os.uname().machine), "free": faults.get("free", 10**7),
                 "noexec": "true" if faults.get("noexec") else "false"}  # fmt: skip
        for name, text in _PROGRAMS.items():
            file = self.folder / "bin" / name
            file.write_text("#!/bin/sh\n" + text.format(**words) + "\n")
            file.chmod(0o755)

    @property
    def commands(self):
        """The lines that the phone's shell was given."""
        log = self.folder / "log"
        return [json.loads(row) for row in log.read_text().splitlines()] if log.exists() else []


def main(folder, words):
    faults = json.loads((folder / "faults.json").read_text())
    if faults.get("daemon"):
        print("* cannot start daemon: the port is taken")
        return _say("adb: failed to check server version", 1)
    if words[0] == "devices":
        print("List of devices attached")
        for serial, state in faults["phones"].items():
            more = "; see [http://developer.android.com/tools/device.html]" if state == "no permissions" else ""
            print(f"{serial:<22} {state}{more} usb:1-1 product:p model:m transport_id:1")
        return print() or 0
    assert words[0] == "-s", f"no phone is named: {words}"
    serial, words = words[1], words[2:]
    if faults["phones"].get(serial) != "device":
        return _say(f"error: device '{serial}' not found", 1)
    assert words[:2] == ["shell", "-T"], f"not spoken here: {words}"
    return _shell(folder, faults, serial, words[2:])


def _say(words, code):
    print(words, file=sys.stderr)
    return code


def _shell(folder, faults, serial, words):
    if "commands" in faults:
        faults["commands"] -= 1
        gone = faults["commands"] < 0
        if gone:
            del faults["commands"]
        (folder / "faults.json").write_text(json.dumps(faults))
        if gone:
            return _say(f"error: device '{serial}' not found", 1)
    line = " ".join(words)  # as adb joins them
    with (folder / "log").open("a") as log:
        log.write(json.dumps(line) + "\n")
    if faults.get("hang"):
        time.sleep(60)
    shell = subprocess.Popen(
        ["sh", "-c", line], stdin=subprocess.PIPE, cwd="/",
        env=os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
    )  # fmt: skip
    limits = {name: faults[name] for name, sign in _SIGNS.items() if name in faults and sign in line}
    if limits:
        (folder / "faults.json").write_text(json.dumps({name: faults[name] for name in faults if name not in limits}))
    broken = []
    threading.Thread(target=_pump, args=(shell, limits, faults.get("slow", 0), broken), daemon=True).start()
    code = shell.wait()
    os._exit(broken[0] if broken else code)


def _pump(shell, limits, slow, broken):
    """Hand stdin on until it ends, or something goes wrong; the exit code that adb has then goes into `broken`."""
    passed = rows = 0
    while piece := os.read(0, 4096):
        if "flip" in limits and passed <= limits["flip"] < passed + len(piece):
            piece = bytearray(piece)
            piece[limits["flip"] - passed] ^= 1
        rows += piece.count(b"\n")
        if rows >= limits.get("questions", rows + 1):
            broken.append(255)
            shell.send_signal(signal.SIGHUP)
            break
        most = min(limits.get("bytes", passed + len(piece)), limits.get("full", passed + len(piece))) - passed
        with contextlib.suppress(BrokenPipeError):
            shell.stdin.write(piece[:most])
            shell.stdin.flush()
        passed += len(piece)
        time.sleep(slow)
        if most < len(piece):
            broken.append(_say("cat: xwrite: No space left on device", 1) if "full" in limits else 255)
            break
    shell.stdin.close()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
