"""Bundle checks: complete, made from this checkpoint, and shown to run or not."""

from __future__ import annotations

import re
from pathlib import Path

from edgelm.bundle import BUNDLE_LIST
from edgelm.check.base import Check, Findings, finding, some
from edgelm.check.look import Model
from edgelm.checkpoint import read_config
from edgelm.submission import BUNDLE

ERROR = "proof/error.txt"
PICTURES = (re.compile(rb"\x89PNG\r\n\x1a\n"), re.compile(rb"\xff\xd8\xff"), re.compile(rb"RIFF.{4}WEBP", re.DOTALL))


def complete(model: Model) -> Findings:
    """BND-01: the bundle's own list of files, and RPT-01: the checkpoint that it was made from."""
    path = model.find(f"{BUNDLE}/{BUNDLE_LIST}")
    if not path.is_file():
        if not model.find(ERROR).is_file():
            yield finding("BND-01", model.at(BUNDLE), f"neither {BUNDLE}/{BUNDLE_LIST} nor {ERROR}")
        return
    bundle = read_config(path)
    if bundle.get("checkpoint") != model.digest:
        what = f"made from {str(bundle.get('checkpoint'))[:12]}…, the checkpoint is {model.digest[:12]}…"
        yield finding("RPT-01", model.package.relative(path), what)
    listed = bundle.get("files")
    names = [model.at(f"{BUNDLE}/{name}") for name in listed] if isinstance(listed, dict) else []
    missing = [name for name in names if name not in model.package.digests and name not in model.package.linked]
    if missing or not names:
        yield finding("BND-01", model.at(BUNDLE), f"absent: {some(missing)}" if missing else "it lists no files")


def proof(model: Model) -> Findings:
    """BND-03: a picture of the running app, or the reason why it does not run."""
    shown = any(is_picture(path) for path in model.find("proof").glob("*"))
    if not shown and not model.find(ERROR).is_file():
        yield finding("BND-03", model.at("proof"), "neither a screenshot (PNG, JPEG or WebP) nor error.txt")


def is_picture(path: Path) -> bool:
    """Whether a file begins as a PNG, JPEG or WebP does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(12)
    return any(kind.match(head) for kind in PICTURES)


MODEL_CHECKS = (Check("BND-01", complete), Check("BND-03", proof))
