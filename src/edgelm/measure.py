"""Measure a checkpoint on a device, and write what came out as a report folder."""

from __future__ import annotations

from pathlib import Path

from edgelm import __version__
from edgelm.checkpoint import Checkpoint
from edgelm.devices.base import Device, Progress, require_runnable
from edgelm.folders import new_folder
from edgelm.report import Report, Workload


def measure(checkpoint: Checkpoint, device: Device, workload: Workload, out: Path, progress: Progress) -> Report:
    """Speed, memory by meter and size of a checkpoint, also written to the new folder `out`.

    `progress` is told its bar's label, and how many stages of how many are done.

    Raises:
        BadOption: `out` exists already, or a count of the workload is too small.
        Unsupported: the workload is longer than the model's context, or the device cannot run the model.
    """
    require_runnable(checkpoint, workload)
    with new_folder(out) as folder:
        measurement = device.measure(checkpoint, workload, progress)
        report = Report(
            checkpoint=checkpoint.digest,
            name=checkpoint.path.resolve().name,
            parameters=checkpoint.parameters,
            bytes=checkpoint.bytes,
            dtypes=checkpoint.dtypes,
            speed=measurement.speed,
            memory=measurement.memory,
            predicted=measurement.predicted,
            machine=measurement.machine,
            made_by=f"edgelm {__version__}",
        )
        report.save(folder)
    return report
