"""Styles and scripts. Their names bear a digest of what is in them, so that browsers may keep them for good."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Response

from edgelm.files import sha256_bytes
from edgelm.server.refusals import NotThere

router = APIRouter(include_in_schema=False)
_FOLDER = Path(__file__).parent / "static"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_GOOD = "public, max-age=31536000, immutable"


@cache
def address(name: str) -> str:
    """Where a file of `static` is found: `/static/style.0123456789ab.css`."""
    path = Path(name)
    return f"/static/{path.stem}.{sha256_bytes(_read(name))[:12]}{path.suffix}"


@router.get("/static/{name}")
def asset(name: str) -> Response:
    """A style or script, under its name of now."""
    for path in _FOLDER.iterdir():
        if path.suffix in _KINDS and address(path.name) == f"/static/{name}":
            return Response(_read(path.name), media_type=_KINDS[path.suffix], headers={"Cache-Control": _FOR_GOOD})
    raise NotThere("there is no such file", mend="load the page again")


@cache
def _read(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()
