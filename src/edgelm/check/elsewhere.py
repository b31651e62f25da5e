"""Files that lie elsewhere: sound links, and if they are fetched, what they really give."""

from __future__ import annotations

import re

from edgelm.check.base import Check, Findings, finding, unknown_keys
from edgelm.check.fetch import Refused, Unreachable, address_problem
from edgelm.check.look import Package
from edgelm.links import LINKS

SHA256 = re.compile(r"[0-9a-f]{64}")


def sound(package: Package) -> Findings:
    """LNK-01, LNK-03: what an address and its record say before anything is fetched."""
    yield from unknown_keys(LINKS, *package.links)
    for link in package.links:
        if problem := address_problem(link.url, package.hosts):
            yield finding("LNK-01", LINKS, f"{link.path}: {problem}")
        if not SHA256.fullmatch(link.sha256):
            yield finding("LNK-03", LINKS, f"{link.path}: no sha256 of 64 hexadecimal digits")
        if link.size < 0:
            yield finding("LNK-03", LINKS, f"{link.path}: no size in bytes")


def fetched(package: Package) -> Findings:
    """LNK-01, LNK-02, LNK-03 from what the addresses give; only when links are asked for.

    What could not be asked is not refused: a reviewer decides.
    """
    fetch = package.fetch
    for link in package.links if fetch else ():
        if address_problem(link.url, package.hosts) or not SHA256.fullmatch(link.sha256) or link.size < 0:
            continue  # which `sound` has said
        try:
            found = fetch(link.url, link.size)  # type: ignore[misc]
        except Unreachable as unknown:
            what, mend = f"{link.path}: not checked, as {unknown}", "check again where the host can be reached"
            yield finding(unknown.code, LINKS, what, severity="R", mend=mend)
            continue
        except Refused as refused:
            yield finding(refused.code, LINKS, f"{link.path}: {refused}")
            continue
        if found.size != link.size:
            yield finding("LNK-03", LINKS, f"{link.path}: {found.size:,} bytes came, listed are {link.size:,}")
        elif found.sha256 != link.sha256:
            yield finding("LNK-03", LINKS, f"{link.path}: sha256 {found.sha256} came, listed is {link.sha256}")


CHECKS = (Check("PKG-04", sound), Check("LNK-01", fetched))
