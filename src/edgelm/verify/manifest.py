"""M-11: what a verification was made with: code, packages, weights, data, machine, times, and the files written."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import edgelm
from edgelm.checkpoint import digest_of
from edgelm.data.folder import DataFolder
from edgelm.devices.host import conditions, machine
from edgelm.files import sha256_file, tree_files
from edgelm.tasks.base import Task
from edgelm.verify.seed import Seed


def now() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class Manifest:
    """The record of one run, begun when it begins."""

    def __init__(self, seed: Seed) -> None:
        self._begun: dict[str, Any] = {
            "made_by": f"edgelm {edgelm.__version__}", "code": code_digest(), "packages": packages(),
            "seed_sha256": seed.digest, "machine": machine(), "conditions_before": conditions(), "start_us": now(),
        }  # fmt: skip

    def ended(
        self, *, submission: str, rules: str, weights: Mapping[str, str], asked: Iterable[tuple[Task, DataFolder]],
        devices: Mapping[str, str], engines: Mapping[str, Any], written: Path,
    ) -> dict[str, Any]:  # fmt: skip
        """The record of the whole, when all else is written.

        Args:
            submission: its digest.
            rules: the digest of the rule set.
            weights: the digest of each slot's checkpoint, computed from its bytes.
            asked: the tasks, whose data are named by digest.
            devices: what each slot's model ran on.
            engines: the settings and versions that answered, by slot.
            written: the folder, all of whose files are named by digest.
        """
        data = {name: folder.sha256(name) for task, folder in asked for name in task.files(folder)}
        return {
            **self._begun, "submission": submission, "rules": rules, "weights": dict(weights), "data": data,
            "devices": dict(devices), "engines": dict(engines), "conditions_after": conditions(), "end_us": now(),
            "files": {name: sha256_file(written / name) for name in tree_files(written)},
        }  # fmt: skip


def code_digest() -> str:
    """One digest over the names and digests of all files of this package."""
    root = Path(edgelm.__file__).parent
    names = [name for name in tree_files(root) if "__pycache__" not in name]
    return digest_of({name: sha256_file(root / name) for name in names})


def packages() -> dict[str, str]:
    """The version of every package that is installed, as a lock file would name it."""
    return {found.metadata["Name"]: found.version for found in sorted(distributions(), key=lambda each: each.name)}
