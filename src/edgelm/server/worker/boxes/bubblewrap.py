"""A box made by bubblewrap: namespaces of its own, and a file system put together from what is named."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from edgelm.errors import Unsupported
from edgelm.server.worker.boxes.base import LIBRARIES, MEMORY_FOLDERS, SCRATCH, Places


class Bubblewrap:
    """It needs user namespaces, or root."""

    kind = "bubblewrap"

    def version(self) -> str:
        """Its version.

        Raises:
            Unsupported: it is not installed.
        """
        program = shutil.which("bwrap")
        if program is None:
            raise Unsupported("it is not installed", mend="install it: apt-get install bubblewrap")
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        return said.stdout.strip() or "bubblewrap"

    def words(self, command: tuple[str, ...], places: Places) -> tuple[str, ...]:
        """The command that runs another within: its first process takes all others with it."""
        walls = [
            "bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
            "--hostname", "box", "--new-session", "--die-with-parent", "--cap-drop", "ALL",
            "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev",
        ]  # fmt: skip
        for name in MEMORY_FOLDERS:
            walls += ["--perms", "1777", "--size", str(SCRATCH), "--tmpfs", name]
        for name in LIBRARIES:
            link = Path(name).is_symlink()
            walls += ["--symlink", str(Path(name).readlink()), name] if link else ["--ro-bind-try", name, name]
        walls += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
        mounts = (*places.readable, *([places.writes] if places.writes else []))
        for above in dict.fromkeys(up for place in mounts for up in reversed(place.parents[:-1])):
            walls += ["--perms", "0755", "--dir", str(above)]  # it may be root's alone outside
        for place in (*map(str, places.readable), *places.facts):
            walls += ["--ro-bind", place, place]
        for device in places.devices:
            walls += ["--dev-bind", device, device]
        if places.writes is not None:
            walls += ["--bind", str(places.writes), str(places.writes)]
        walls += ["--remount-ro", "/", "--chdir", "/tmp"]
        if as_another := _as_another(places.user):  # what it takes to become somebody else, and is given up with that
            walls += [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
        else:  # bubblewrap's own first process would be the model's to write to, and no filter binds it
            walls.append("--as-pid-1")
        return (*walls, *as_another, *command)


def _as_another(user: int) -> list[str]:
    """Words before a command that make it another user's: the system does not limit root's processes."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all",
            "--bounding-set=-all", "--no-new-privs", "--"]  # fmt: skip
