"""Findings as SARIF 2.1.0, which editors and code hosts show beside the files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from edgelm import __version__
from edgelm.check.base import Finding
from edgelm.check.codes import CODES

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"E": "error", "R": "warning", "W": "warning", "I": "note"}


def as_sarif(findings: Sequence[Finding]) -> dict[str, Any]:
    """One run of the checker, with a rule for each code that was found."""
    used = sorted({found.code for found in findings})
    driver = {"name": "edgelm", "version": __version__, "rules": [_rule(code) for code in used]}
    results = [_result(found, used.index(found.code)) for found in findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _rule(code: str) -> dict[str, Any]:
    known = CODES[code]
    return {
        "id": code, "shortDescription": {"text": known.condition}, "help": {"text": known.mend},
        "defaultConfiguration": {"level": LEVELS[known.severity]},
    }  # fmt: skip


def _result(found: Finding, rule: int) -> dict[str, Any]:
    place = {"physicalLocation": {"artifactLocation": {"uri": quote(found.path or ".", errors="surrogatepass")}}}
    return {
        "ruleId": found.code, "ruleIndex": rule, "level": LEVELS[found.severity],
        "message": {"text": f"{found.what}. {found.why}. Mend: {found.mend}"}, "locations": [place],
        "properties": {"severity": found.severity, "mend": found.mend, "evidence": found.evidence},
    }  # fmt: skip
