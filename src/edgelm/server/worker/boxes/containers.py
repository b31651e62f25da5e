"""Boxes made by programs for containers: an image without a file, into which the system's libraries are mounted.

Such a container is no child of the program that starts it and would outlive it. So it is tied to it: a process at our
side holds the writing end of its standard input, and the container's first process ends when that is closed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from edgelm.errors import Unsupported
from edgelm.server.worker.boxes.base import (
    LIBRARIES,
    MEMORY_FOLDERS,
    OWN,
    PASSED,
    PROCESSES,
    QUIET,
    SCRATCH,
    Places,
)

IMAGE = "edgelm-box"
_SECONDS = 60  # for the program to answer
_KEPT = ("HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST")  # what the program itself needs, and a model does not see
_TIED = "import subprocess, sys; sys.exit(subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE).wait() & 255)"


def answer(program: str, *words: str, mend: str) -> str:
    """What the program says.

    Raises:
        Unsupported: it is not installed, or does not work here.
    """
    path = shutil.which(program)
    if path is None:
        raise Unsupported("it is not installed", mend=f"install it: apt-get install {mend}")
    try:
        done = subprocess.run([path, *words], capture_output=True, input="", text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Unsupported("it does not work here", why=f"no answer in {_SECONDS} seconds") from None
    if done.returncode:
        raise Unsupported("it does not work here", why=done.stderr.strip()[-300:])
    return done.stdout.strip()


def make_image(program: str, mend: str) -> None:
    """See that there is an image without a file: an archive of nothing, imported.

    Raises:
        Unsupported: it cannot be made.
    """
    if not answer(program, "images", "--quiet", IMAGE, mend=mend):
        empty = subprocess.run(["tar", "-c", "-T", "/dev/null"], capture_output=True, check=True).stdout
        done = subprocess.run([program, "import", "-", IMAGE], input=empty, capture_output=True, timeout=_SECONDS,
                              check=False)  # fmt: skip
        if done.returncode:
            raise Unsupported("it takes no image", why=done.stderr.decode(errors="replace").strip()[-300:])


def words(program: str, user: str, extra: tuple[str, ...], command: tuple[str, ...], places: Places) -> tuple[str, ...]:
    """The command that runs another in a container.

    Args:
        program: `podman` or `docker`.
        user: the words of who the command is.
        extra: words of this program alone.
        command: that is run; its first word binds it, and ends when standard input does.
        places: what it sees.
    """
    kept = [f"{name}={os.environ[name]}" for name in _KEPT if name in os.environ]
    walls = [
        sys.executable, "-I", "-S", "-c", _TIED,
        "env", *kept, program, "run", "--rm", "--interactive", "--pull", "never", "--network", "none", "--read-only",
        "--ipc", "private", "--hostname", "box", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
        "--pids-limit", str(PROCESSES), "--user", user, "--workdir", "/tmp", *extra,
    ]  # fmt: skip
    if places.memory:
        walls += ["--memory", str(places.memory), "--memory-swap", str(places.memory)]
    for name in MEMORY_FOLDERS:
        walls += ["--tmpfs", f"{name}:rw,exec,nosuid,nodev,mode=1777,size={SCRATCH}"]
    readable = ["/usr", *(name for name in (*LIBRARIES, "/etc/ld.so.cache") if Path(name).exists())]
    for place in (*readable, *map(str, places.readable), *places.facts):
        walls += ["--volume", f"{place}:{place}:ro"]
    if places.writes is not None:
        walls += ["--volume", f"{places.writes}:{places.writes}:rw"]
    for device in places.devices:
        walls += ["--device", device]
    for name, value in OWN.items():
        walls += ["--env", f"{name}={value}"]
    for name in (*QUIET, *PASSED):
        walls += ["--env", name]
    return (*walls, IMAGE, *command)
