"""Ways in: log in and out, register, forgotten passwords, the first administrator."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, Response

from edgelm.server.api import accounts
from edgelm.server.pages.frame.visit import Visit, Visiting, inner

router = APIRouter(include_in_schema=False)


@router.get("/login")
def login(at: Visiting) -> Response:
    """Where one logs in."""
    return at.page("login", next=inner(at.value("next")))


@router.post("/login/form")
def log_in(at: Visiting) -> Response:
    """Log in, and go to the page that one wanted to see."""
    return at.take(
        lambda answer: accounts.log_in(at.read(accounts.Credentials), at.request, answer, at.server),
        login, inner(at.value("next")), "logged-in",
    )  # fmt: skip


@router.post("/logout/form")
def log_out(at: Visiting) -> Response:
    """Log out."""
    return at.take(lambda answer: accounts.log_out(answer, at.server, at.viewer), login, "/", "logged-out")


@router.get("/register")
def registration(at: Visiting) -> Response:
    """Where one makes an account."""
    return at.page("register", next=inner(at.value("next")), action="/register/form", first=False)


@router.post("/register/form")
def register(at: Visiting) -> Response:
    """Make an account."""
    return at.take(
        lambda _: accounts.register(at.read(accounts.Registration), at.request, at.server, at.viewer),
        registration, _login_then(at), "registered",
    )  # fmt: skip


@router.get("/first-admin")
def first_admin(at: Visiting) -> Response:
    """Where the printed link of a new server leads."""
    return at.page("register", next="/account", action="/first-admin/form", first=True)


@router.post("/first-admin/form")
def make_first_admin(at: Visiting) -> Response:
    """Make the first administrator."""
    return at.take(
        lambda _: accounts.first_admin(at.read(accounts.FirstAdmin), at.request, at.server, at.viewer),
        first_admin, "/login?next=/account", "first-admin",
    )  # fmt: skip


@router.get("/forgotten")
def forgotten(at: Visiting) -> Response:
    """Where one asks for a new password."""
    return at.page("forgotten")


@router.post("/forgotten/form")
def ask_for_link(at: Visiting) -> Response:
    """Ask for a link by mail; the answer does not say whether there is such an account."""
    return at.take(
        lambda _: accounts.forgotten(at.read(accounts.Forgotten), at.request, at.server, at.viewer),
        forgotten, "/login", "forgotten",
    )  # fmt: skip


@router.get("/reset")
def new_password(at: Visiting) -> Response:
    """Where the link for a new password leads."""
    return at.page("reset")


@router.post("/reset/form")
def reset(at: Visiting) -> Response:
    """Set a new password."""
    return at.take(
        lambda _: accounts.reset(at.read(accounts.Reset), at.request, at.server, at.viewer),
        new_password, "/login", "reset",
    )  # fmt: skip


def _login_then(at: Visit) -> str:
    """The page to log in, by way of which one goes on to where one wanted."""
    wanted = inner(at.value("next"))
    return "/login" if wanted == "/" else f"/login?{urlencode({'next': wanted})}"
