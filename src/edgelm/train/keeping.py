"""What a run keeps beside its work: which step is complete, with what settings, and that nobody else works there."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from edgelm.checkpoint import read_config
from edgelm.data.folder import DataFolder
from edgelm.errors import BadOption, EdgelmError
from edgelm.files import canonical_json, disk_errors, sha256_bytes, tree_files, write_json
from edgelm.folders import require_fresh
from edgelm.plugins import spec_of
from edgelm.train.base import Step
from edgelm.train.loop.distributed import World


class Record:
    """`work/<step>.json`: the settings that a step was begun with, and what it did.

    Args:
        folder: the step's own folder, beside which the record stands; without it the record says nothing.
        step: its settings.
        inputs: what it reads, by name; what is empty is not here, and does not undo what was done elsewhere.
        base: what it goes out from, if an earlier step of the run may have made that anew: then it begins again.

    Raises:
        BadOption: the step was begun there with other settings or inputs.
    """

    def __init__(self, folder: Path, step: Step, inputs: Mapping[str, Any], base: object = None) -> None:
        self.folder, self.path = folder, folder.with_suffix(".json")
        # What may change from one command to the next leaves the identity alone: a longer run goes on.
        self._now: dict[str, Any] = {
            "spec": spec_of(step), "identity": spec_of(getattr(step, "identity", step)),
            "inputs": {name: _digest(value) for name, value in inputs.items() if value != {}}, "base": _digest(base),
        }  # fmt: skip
        if why := self._difference():
            mend = f"the same recipe and data go on from there; for others choose another -o, or remove {folder}"
            raise BadOption(f"{folder} was made with other settings or data", why=why, mend=mend)

    def _difference(self) -> str:
        """What forbids to go on from what is there."""
        then, now = self._kept, self._now
        if then and then.get("identity") != now["identity"]:
            return f"there '{then.get('spec')}', here '{now['spec']}'"
        known = (then.get("inputs") or {}) if then else now["inputs"]
        changed = [name for name, value in now["inputs"].items() if value != known.get(name)]
        return f"what has changed: {', '.join(changed)}" if changed else ""

    @cached_property
    def _kept(self) -> dict[str, Any]:
        with contextlib.suppress(EdgelmError):  # no record, or one that a failing disk has spoilt: begin again
            kept = read_config(self.path)
            if self.folder.is_dir() and kept.get("base") == self._now["base"]:
                return kept
        return {}

    @property
    def complete(self) -> bool:
        """Whether the step has been done with exactly these settings."""
        return bool(self._kept.get("done")) and self._kept.get("spec") == self._now["spec"]

    @property
    def done(self) -> dict[str, Any]:
        """What it did; empty if it is not known to be finished."""
        return dict(self._kept.get("done") or {})

    def begin(self) -> None:
        """Write down that the step is begun; what a step of unknown settings has left is removed."""
        if not self._kept:
            with disk_errors(self.folder):
                shutil.rmtree(self.folder, ignore_errors=True)
        write_json(self.path, self._now)

    def end(self, done: Mapping[str, Any]) -> None:
        """Write down that it is complete."""
        write_json(self.path, self._now | {"done": dict(done)})


def _digest(value: object) -> str:
    return sha256_bytes(canonical_json(spec_of(value) if dataclasses.is_dataclass(value) else value))


def listing(data: DataFolder, files: Sequence[str] = ()) -> dict[str, int]:
    """Names and sizes of the training text of a data folder: what tells that it has changed, without reading it.

    `files` are read besides what lies in the usual places.
    """
    if data.root is None:
        return {}
    usual = {name: data.root / name for folder in ("c4", "alpaca")
             for name in (f"{folder}/{each}" for each in tree_files(data.root / folder, links=True))}  # fmt: skip
    named = {name: path for name in files if (path := data.here(name))}
    return {name: path.stat().st_size for name, path in (usual | named).items()}


@contextlib.contextmanager
def claimed(out: Path, here: World) -> Iterator[None]:
    """Keep other runs out of an output folder as long as this one works there.

    Raises:
        BadOption: another run is at work there, or the folder holds something else.
    """
    if not here.first:
        yield
        return
    folder = out / "work"
    if not folder.is_dir():
        require_fresh(out)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadOption(f"another run is at work in {out}", mend="wait for it, or choose another -o") from None
        yield
    finally:
        os.close(lock)
