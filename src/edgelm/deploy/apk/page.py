"""The app's page as one file: its style and its two scripts are put into its frame."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent / "page"
_PART = re.compile(r"@FILE ([a-z]+\.(?:css|js))@")


def page() -> str:
    """The page, which needs no other file."""
    frame = (_FOLDER / "index.html").read_text(encoding="utf-8")
    return _PART.sub(lambda part: (_FOLDER / part[1]).read_text(encoding="utf-8").strip(), frame)
