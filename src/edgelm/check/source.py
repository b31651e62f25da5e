"""Source checks: commands, pinned packages, and nothing that must stay secret."""

from __future__ import annotations

import re

from edgelm.check.base import Check, Findings, finding
from edgelm.check.look import Package
from edgelm.submission import LOCKS, README, SOURCE

LARGEST = 4 << 20  # bytes: text beyond that is data, not source
WEIGHTS = (".safetensors", ".gguf", ".bin")
SECRETS = {
    "a private key": re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a token of the model hub": re.compile(rb"\bhf_[A-Za-z0-9]{30,}"),
    "a token of GitHub": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
    "a token of GitLab": re.compile(rb"\bglpat-[A-Za-z0-9_-]{20,}"),
    "an access key of AWS": re.compile(rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a key of Google": re.compile(rb"\bAIza[A-Za-z0-9_-]{35}"),
    "a key of a model provider": re.compile(rb"\bsk-[A-Za-z0-9_-]{32,}"),
    "a token of Slack": re.compile(rb"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
}


def commands(package: Package) -> Findings:
    """SRC-01, SRC-02: how to rebuild, and with which versions."""
    names = [name for name in package.files if name.startswith(f"{SOURCE}/")]
    if f"{SOURCE}/{README}" not in names:
        yield finding("SRC-01", SOURCE, f"no {README}" if names else "the folder is absent or empty")
    if not any(LOCKS.search(name) for name in names):
        yield finding("SRC-02", SOURCE, "no lock file")


def secrets(package: Package) -> Findings:
    """SRC-03: what looks like a key or token, by its shape; the value is never echoed."""
    for name in package.files:
        path = package.path / name
        if name.endswith(WEIGHTS) or path.stat().st_size > LARGEST:
            continue
        data = path.read_bytes()
        for kind, pattern in SECRETS.items():
            if match := pattern.search(data):
                line = data.count(b"\n", 0, match.start()) + 1
                yield finding("SRC-03", name, f"line {line} holds what looks like {kind}")


CHECKS = (Check("SRC-01", commands), Check("SRC-03", secrets))
