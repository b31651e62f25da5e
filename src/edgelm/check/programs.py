"""Programs for a machine: the app of a bundle, and native executables where source is expected."""

from __future__ import annotations

import struct
from pathlib import Path

from edgelm.archives import zips
from edgelm.check.base import Check, Findings, finding
from edgelm.check.look import Model, Package
from edgelm.submission import BUNDLE

LIBRARIES = "lib/arm64-v8a/"
ENTRIES = 10_000  # of an app package, at most
LOOKED_AT = 500  # of its libraries
AARCH64, WIDE, LITTLE = 183, 2, 1  # of an ELF header: machine, class, byte order
MACH_O = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")


def app(model: Model) -> Findings:
    """BND-02: each app package is a zip with a manifest and a library for the phone's processor."""
    for name in model.package.files:
        is_app = name.startswith(model.at(f"{BUNDLE}/")) and name.endswith(".apk")
        if is_app and (problem := app_problem(model.package.path / name)):
            yield finding("BND-02", name, problem)


def app_problem(path: Path) -> str:
    """Why an app package would not start on an arm64 phone; empty if nothing speaks against it."""
    names: set[str] = set()
    heads: dict[str, bytes] = {}
    try:
        with zips.opened(path, ENTRIES) as walk:
            for entry, content in walk:
                names.add(entry.name)
                is_library = entry.name.startswith(LIBRARIES) and entry.name.endswith(".so")
                if is_library and len(heads) < LOOKED_AT:
                    with content() as file:
                        heads[entry.name] = file.read(20)
    except (*zips.ERRORS, OSError) as error:
        return f"it is no readable app package: {error}"
    if "AndroidManifest.xml" not in names:
        return "it has no AndroidManifest.xml"
    if not heads:
        return f"it has no library in {LIBRARIES}"
    wrong = [name for name, head in heads.items() if not is_arm64(head)]
    return f"{wrong[0]} is no library for arm64" if wrong else ""


def is_arm64(head: bytes) -> bool:
    """Whether the first 20 bytes are those of an ELF file for AArch64."""
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return False
    return (head[4], head[5]) == (WIDE, LITTLE) and struct.unpack_from("<H", head, 18)[0] == AARCH64


def executables(package: Package) -> Findings:
    """SRC-04: programs and libraries for a machine outside the bundles."""
    for name in package.files:
        if f"/{BUNDLE}/" not in name and (kind := executable_kind(package.path / name)):
            yield finding("SRC-04", name, f"this is {kind}")


def executable_kind(path: Path) -> str:
    """What kind of native program a file is, by its first bytes; empty if none."""
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] == b"\x7fELF":
            return "an ELF program or library"
        if head[:4] in MACH_O:
            return "a Mach-O program or library"
        if head[:2] == b"MZ" and len(head) == 64:
            file.seek(struct.unpack_from("<I", head, 60)[0])
            if file.read(4) == b"PE\0\0":
                return "a Windows program or library"
    return ""


CHECKS = (Check("SRC-04", executables),)
MODEL_CHECKS = (Check("BND-02", app),)
