"""The audit log: its entries, whether the chain holds, and what may be taken along."""

from __future__ import annotations

from fastapi import APIRouter, Response

from edgelm.server.api import audit
from edgelm.server.pages.frame.organising import Organising
from edgelm.server.pages.frame.visit import Visit, answered

router = APIRouter(prefix="/console/audit", include_in_schema=False)
_EVER = 2**63 - 1


@router.get("")
def entries(
    at: Organising, actor: audit.Text = "", action: audit.Text = "", object: audit.Text = "",
    before: audit.Number = _EVER,
) -> Response:  # fmt: skip
    """Entries that fit, the latest first."""
    return _entries(at, actor, action, object, before)


@router.post("/verify")
def verify(at: Organising) -> Response:
    """Reckon the whole chain through, and say whether it holds."""
    return _entries(at, verified=answered(audit.verify(at.call)))


def _entries(
    at: Visit, actor: str = "", action: str = "", object: str = "", before: int = _EVER, verified: object = None
) -> Response:
    found = audit.entries(at.server, at.viewer, actor, action, object, before=before)
    return at.page("console/audit", log=found, verified=verified, heads=audit.heads(at.server)[:1])
