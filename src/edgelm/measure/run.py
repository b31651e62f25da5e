"""Measure a checkpoint or a bundle on a device, and write what came out as a report folder."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgelm import __version__
from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.devices.base import Device, Measurement, Progress, require_runnable
from edgelm.devices.estimates import Demands, calibrated, estimate
from edgelm.devices.model_file import Stored, planned, read_stored
from edgelm.devices.phones import Profile, profiles, save
from edgelm.errors import BadOption, MissingPackage
from edgelm.files import write_bytes
from edgelm.folders import new_folder
from edgelm.measure.page import PAGE, page
from edgelm.report import Report, Workload

_METERS = ("device-process", "allocator-peak", "phone", "host-peak")  # a prediction is held against the first of them


def measure(
    model: Checkpoint | Bundle, device: Device, workload: Workload, out: Path, progress: Progress,
    phones: Mapping[str, Profile] | None = None,
) -> Report:  # fmt: skip
    """Speed, memory by meter and size of a model, also written to the new folder `out`, as a page as well.

    Args:
        model: a checkpoint, or a bundle made of one.
        device: where.
        workload: what is run.
        out: a new folder.
        progress: is told its bar's label, and how many stages of how many are done.
        phones: profiles of devices that are not at hand, for estimates; all known ones if none are given.

    Raises:
        BadOption: `out` exists already, or a count of the workload is too small.
        Unsupported: the workload is longer than the model's context, or the device cannot run the model.
        BadFile: a bundle's file, or the user's profile, is damaged.
    """
    require_runnable(model, workload)
    phones = profiles() if phones is None else phones
    weights = stored(model)
    with new_folder(out) as folder:
        measurement = device.measure(model, workload, progress)
        report = Report(
            **_identity(model, weights),
            speed=measurement.speed,
            memory=measurement.memory,
            predicted=measurement.predicted,
            machine=measurement.machine,
            made_by=f"edgelm {__version__}",
            **_extra(Demands.of(model.shape, weights, workload), measurement, workload, phones),
        )
        report.save(folder)
    with contextlib.suppress(MissingPackage):  # figures are not lost for want of a page
        write_bytes(out / PAGE, page(report).encode())
    return report


def stored(model: Checkpoint | Bundle) -> Stored:
    """How a model's weights lie in a bundle: as they do, or as `edgelm deploy` will write them."""
    return read_stored(model.model) if isinstance(model, Bundle) else planned(model.shape)


def require_same(model: Checkpoint | Bundle, there: Report) -> None:
    """Refuse to calibrate with the report of another model.

    Raises:
        BadOption: say so.
    """
    digest = model.listing.checkpoint if isinstance(model, Bundle) else model.digest
    if there.checkpoint != digest:
        raise BadOption(f"the report to calibrate with is of another model, {there.name}",
                        why=f"digests {there.checkpoint[:12]} and {digest[:12]}",
                        mend="measure the same bundle on both devices")  # fmt: skip
    if there.bytes != (here := stored(model).bytes):
        raise BadOption(f"the report to calibrate with is of {there.bytes:,} bytes of weights, here are {here:,}",
                        why="bytes of a token are reckoned from those here",
                        mend="measure the same bundle on both devices")  # fmt: skip


def calibrate(name: str, known: Profile | None, model: Checkpoint | Bundle, there: Report, here: Report) -> Path:
    """Correct a profile by a model's reports from the device and from here; where the user's profile is written.

    Raises:
        BadOption: the reports are no pair; see `calibrated`.
    """
    return save(name, calibrated(known, there, here, model.shape, stored(model)))


def _identity(model: Checkpoint | Bundle, weights: Stored) -> dict[str, Any]:
    """What the report says of the model itself."""
    if isinstance(model, Checkpoint):
        return {"checkpoint": model.digest, "name": model.path.resolve().name, "parameters": model.parameters,
                "bytes": model.bytes, "dtypes": model.dtypes}  # fmt: skip
    return {
        "checkpoint": model.listing.checkpoint, "name": model.listing.name, "parameters": model.shape.parameters,
        "bytes": weights.bytes, "dtypes": dict(weights.values), "bundle": model.listing.target,
    }  # fmt: skip


def _extra(
    demands: Demands, measurement: Measurement, workload: Workload, phones: Mapping[str, Profile]
) -> dict[str, Any]:
    """How good the prediction was, and the estimates for devices that are not at hand."""
    found: dict[str, Any] = {
        "estimates": {name: estimate(profile, demands, workload).model_dump() for name, profile in phones.items()},
    }
    meter = next((meter for meter in _METERS if meter in measurement.memory), None)
    if meter and (predicted := measurement.predicted.get("total")):
        measured = measurement.memory[meter]
        found["prediction"] = {"meter": meter, "predicted": predicted, "measured": measured,
                               "error_percent": 100 * (predicted / measured - 1)}  # fmt: skip
    return found
