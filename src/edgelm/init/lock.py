"""The versions that a team's repository pins: those of the packages that edgelm runs with here."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version

from edgelm import __version__

_FOR_DEVELOPERS = re.compile(r"""extra == ["']dev["']""")


def lock() -> str:
    """A requirements file: what edgelm asks for, as far as it is installed, each at its version here."""
    lines = [f"# edgelm {__version__}, installed from its checkout, and with it:"]
    for name in sorted(_names()):
        try:
            lines.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return "\n".join([*lines, ""])


def _names() -> set[str]:
    """The packages that edgelm needs, optional ones among them; none where it is run without being installed."""
    try:
        asked = requires("edgelm") or []
    except PackageNotFoundError:
        return set()
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in asked if not _FOR_DEVELOPERS.search(line))
    return {match[0].lower() for match in found if match} - {"edgelm"}
