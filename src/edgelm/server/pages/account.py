"""One's own account: password, one-time passwords, tokens, messages."""

from __future__ import annotations

import segno
from fastapi import APIRouter, Response
from markupsafe import Markup

from edgelm.errors import InputError
from edgelm.server.access import SCOPES
from edgelm.server.api import accounts
from edgelm.server.pages.frame.visit import Visit, Visiting, answered

router = APIRouter(include_in_schema=False)
_QR_SCALE = 4  # pixels of a square


@router.get("/account")
def account(at: Visiting) -> Response:
    """Who one is, what one was told, and what gives access."""
    return _account(at)


@router.post("/account/password")
def change_password(at: Visiting) -> Response:
    """Change one's password."""
    return at.take(
        lambda _: accounts.change_password(at.read(accounts.NewPassword), at.request, at.server, at.viewer),
        _account, "/account", "password",
    )  # fmt: skip


@router.post("/account/second-factor")
def begin_second_factor(at: Visiting) -> Response:
    """Show the secret of one-time passwords, once."""
    try:
        begun = accounts.begin_second_factor(at.server, at.viewer)
    except InputError as error:
        return _account(at.refused(error))
    drawn = segno.make(begun.address, micro=False).svg_inline(scale=_QR_SCALE, border=2, omitsize=True)
    return at.page("second_factor", begun=begun, drawn=Markup(drawn))  # of squares alone


@router.post("/account/second-factor/confirm")
def confirm_second_factor(at: Visiting) -> Response:
    """Turn one-time passwords on by the first of them."""
    return at.take(
        lambda _: accounts.confirm_second_factor(at.read(accounts.Code), at.request, at.server, at.viewer),
        lambda again: again.page("second_factor", begun=None, drawn=""), "/account", "second-factor",
    )  # fmt: skip


@router.post("/account/token")
def new_token(at: Visiting) -> Response:
    """Make a token, and show it once."""
    try:
        made = answered(accounts.new_token(at.read(accounts.NewToken), at.call))
    except InputError as error:
        return _account(at.refused(error))
    return _account(at, made["token"])


@router.post("/account/token/{token_id}/take-back")
def take_back_token(token_id: str, at: Visiting) -> Response:
    """Take a token back."""
    return at.take(
        lambda _: accounts.take_back_token(token_id, at.server, at.viewer), _account, "/account", "token-gone"
    )


def _account(at: Visit, token: str = "") -> Response:
    return at.page(
        "account", me=accounts.me(at.viewer), tokens=accounts.tokens(at.server, at.viewer), scopes=SCOPES, token=token,
        messages=accounts.messages(at.server, at.viewer),
    )  # fmt: skip
