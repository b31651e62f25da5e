"""The box that a submitted model runs in: no network, nothing of the host, and only the calls that it needs.

A model sees its weights and the runtime, read-only, private folders in memory, one folder to write to, a few devices,
and nothing else: no other process, no home, no environment but its own. Of the ways to make one the first that holds is
taken; that is tried before the first job, by a program that attempts to get out. There is one that holds nothing, for
development: its results say so, and count for nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgelm import seccomp
from edgelm.errors import Unsupported
from edgelm.server.worker.boxes import accelerators, kernel, trial
from edgelm.server.worker.boxes.base import (
    LARGEST,
    MEMORY_FOLDERS,
    OWN,
    PASSED,
    PROCESSES,
    QUIET,
    USERS,
    Places,
    Rung,
    runtime,
)
from edgelm.server.worker.boxes.bubblewrap import Bubblewrap
from edgelm.server.worker.boxes.docker import Docker
from edgelm.server.worker.boxes.podman import Podman

RUNGS: tuple[Rung, ...] = (Bubblewrap(), Podman(), Docker())  # in the order in which they are tried
_LIMITS = {"NPROC": PROCESSES, "FSIZE": LARGEST, "CORE": 0}  # of each process


@dataclass(frozen=True)
class ModelBox:
    """A way to run a command that was tried and holds, or none at all.

    Attributes:
        kind: the name of its rung, or `none`.
        facts: what was found when it was tried, and why better ways were left out: stamped on every result.
        devices: of an accelerator, to be seen within.
        memory: bytes that all within may use; only containers hold to it by themselves.
        rung: that makes it.
        there: it is entered on a node of a cluster, whose cards it shows.
        landlock: the version that it is held with; 0 for none.
        calls: the filter of system calls; empty for none.
    """

    kind: str
    facts: dict[str, Any] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    memory: int = 0
    rung: Rung | None = None
    there: bool = False
    landlock: int = field(default_factory=kernel.landlock)
    calls: bytes = field(default_factory=lambda: seccomp.program(families=seccomp.LOCAL) or b"")

    @property
    def holds(self) -> bool:
        """Whether results made in it count."""
        return self.rung is not None

    def words(self, words: Iterable[str], readable: Iterable[Path] = (), writes: Path | None = None) -> tuple[str, ...]:
        """The command that runs another within.

        Args:
            words: the command.
            readable: what it sees beside the runtime, read-only, at the same places as outside.
            writes: the folder that it may write to; `prepare` it before.
        """
        if self.rung is None:
            return tuple(words)
        if self.there:
            told = {"kind": self.kind, "memory": self.memory, "landlock": self.landlock, "calls": self.calls.hex(),
                    "words": tuple(words), "readable": [*map(str, readable)],
                    "writes": writes and str(writes)}  # fmt: skip
            return sys.executable, "-m", "edgelm.server.worker.boxes.enter", json.dumps(told)
        orders = {
            "limits": _LIMITS, "landlock": self.landlock, "filter": self.calls.hex(), "tied": self.kind != "bubblewrap",
            "writable": [*MEMORY_FOLDERS, *([str(writes)] if writes else [])],
            "variables": [*OWN, *QUIET, *PASSED],
        }  # fmt: skip
        program = (files("edgelm.server.worker.boxes") / "inside.py").read_text(encoding="utf-8")
        command = (sys.executable, "-I", "-S", "-c", program, json.dumps(orders), *words)
        places = Places(
            (*runtime(), *readable), writes, self.devices, accelerators.system_facts(self.devices), self.memory
        )
        return self.rung.words(command, places)

    def env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a command within."""
        return {**OWN, **QUIET, **(more or {}), **accelerators.variables(self.devices)}

    def prepare(self, writes: Path) -> None:
        """Make a folder that a command within may write to, and no other box: it gets a user of its own."""
        writes.mkdir(parents=True, exist_ok=True)
        if self.holds and os.geteuid() == 0:
            user = USERS[zlib.crc32(bytes(writes.resolve())) % len(USERS)]
            words = ("chown", "--recursive", "--no-dereference", f"{user}:{user}", "--", str(writes))
            subprocess.run(words, check=True)  # however deep the folders are that an earlier step made in it


def find_box(
    *, unsafe: bool = False, devices: Iterable[str] = (), memory: int = 0, rungs: Iterable[Rung] = RUNGS
) -> ModelBox:
    """The first way to make a box that holds here.

    Args:
        unsafe: take none at all if there is no other; for development.
        devices: such as `/dev/nvidia0`, to be seen within.
        memory: bytes that all within may use; 0 for no limit.
        rungs: the ways, best first.

    Raises:
        Unsupported: none holds, with the reason of each.
    """
    skipped: dict[str, str] = {}
    mends = []
    for rung in rungs:
        box = ModelBox(rung.kind, {}, tuple(devices), memory, rung)
        try:
            version = rung.version()
            found = trial.tried(box)
        except Unsupported as error:
            skipped[rung.kind] = f"{error.what}: {error.why}" if error.why else error.what
            mends.append(error.mend)
            continue
        return replace(box, facts={"box": version, "kind": rung.kind, "holds": True, **kernel.facts(),
                                   "tried": found["tried"], "skipped": skipped})  # fmt: skip
    if unsafe:
        return ModelBox("none", {"box": "none", "kind": "none", "holds": False, "skipped": skipped})
    raise Unsupported("there is no box to run submitted models in",
                      why="; ".join(f"{name}: {why}" for name, why in skipped.items()),
                      mend=f"{next(filter(None, mends), '')}; --unsafe-no-sandbox runs models unconfined, for "
                      "development")  # fmt: skip
