"""The manifest of a run: with which code, on what, in which box, and when; signed by the worker that ran it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import distributions
from typing import Any

from edgelm import __version__
from edgelm.files import canonical_json, sha256_file
from edgelm.report import Report
from edgelm.server.clock import utc_now
from edgelm.server.worker.measuring import tests_of
from edgelm.server.worker.steps import Steps


def manifest(
    steps: Steps, started: int, reports: Mapping[str, Report], journals: Mapping[str, bytes]
) -> dict[str, Any]:
    """What a result says of its run.

    Args:
        steps: of the job.
        started: microseconds.
        reports: by slot.
        journals: that the marks were made from, by name.
    """
    bench, job = steps.bench, steps.job
    packages = sorted({f"{each.metadata['Name']}=={each.version}" for each in distributions()})
    told = {
        "job": job.id, "fence": job.fence, "submission": job.submission, "package": job.manifest, "rules": job.rules,
        "edgelm": __version__, "python": platform.python_version(),
        "packages": packages,
        "weights": {slot: report.checkpoint for slot, report in reports.items()},
        "protocols": {slot: {task: score.protocol for task, score in report.tasks.items()}
                      for slot, report in reports.items()},
        "compliance": {slot: tests_of(report) for slot, report in reports.items()},
        "journals": {name: sha256(data).hexdigest() for name, data in journals.items()},
        "seed": sha256_file(bench.secrets.seed) if bench.secrets.seed else None,
        "holdouts": [sha256_file(file) for file in bench.secrets.holdouts],
        "engine": bench.engine, "device": bench.device, "executor": bench.executor.capabilities(),
        "machine": {"system": platform.platform(), "processors": os.cpu_count(), "byteorder": sys.byteorder},
        "box": bench.box.facts, "started": started, "ended": utc_now(),
    }  # fmt: skip
    return told | {"signature": bench.calls.signature(canonical_json(told))}
