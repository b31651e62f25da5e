"""What programs may import beside the standard library: numpy where it is installed, as OpenCompass's have it."""

from __future__ import annotations

import importlib.metadata
from importlib.util import find_spec
from pathlib import Path

from edgelm.tasks.sandbox.inside import PACKAGE


def folders() -> tuple[Path, ...]:
    """The package's folder and, behind it, that of the libraries packed with it; nothing if it is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return ()
    package = Path(spec.origin).resolve().parent
    return tuple(each for each in (package, package.with_name(f"{PACKAGE}.libs")) if each.is_dir())


def version() -> str:
    """The version installed; empty if there is none."""
    try:
        return importlib.metadata.version(PACKAGE) if folders() else ""
    except importlib.metadata.PackageNotFoundError:  # a copy without the record of its installation
        return "of unknown version"


def importable(version: str) -> str:
    """What programs can import, said for a report; `version` is the package's, empty if it is not among that."""
    return f"the standard library and {PACKAGE} {version}" if version else "the standard library alone"
