"""One's own account over HTTP: register, log in and out, passwords, a second factor, messages, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Request, Response
from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from pydantic import Field
from sqlalchemy import select

from edgelm.server import accounts, notices, second_factor
from edgelm.server.access import SCOPES, UserRole, Viewer, client_of, cookie_name
from edgelm.server.calling import Asking, Calling, Done, Served
from edgelm.server.fields import Body, Email, Name, Secret
from edgelm.server.refusals import Conflict, NotLoggedIn, NotThere
from edgelm.server.state import Server
from edgelm.server.tables import Login, Token, User

router = APIRouter(tags=["accounts"])
_REGISTRATIONS = RateLimitItemPerHour(60)  # from one address: a lecture hall has one
_MAILS = RateLimitItemPerHour(5)  # to one account
_FROM_ONE = RateLimitItemPerMinute(10, 15)  # wrong passwords to one account, from one address
_FROM_ANY = RateLimitItemPerHour(100)  # to one account, from addresses that it was never logged in from


class Registration(Body):
    """What an account is made of."""

    email: Email
    name: Name
    password: Annotated[str, Field(max_length=1000)]


class FirstAdmin(Registration):
    """The same, with the secret that the server was started with."""

    secret: Secret


class Credentials(Body):
    """What opens a login; `code` is the one-time password, if the account has them."""

    email: Annotated[str, Field(max_length=254)]
    password: Annotated[str, Field(max_length=1000)]
    code: Annotated[str, Field(max_length=10)] = ""


class Account(Body):
    """An account as its owner and administrators see it. Times are microseconds of UTC."""

    id: str
    email: str
    name: str
    role: UserRole
    second_factor: bool
    disabled: bool
    created: int

    @classmethod
    def of(cls, user: User) -> Account:
        """The account of a user."""
        return cls.model_validate(
            {"id": user.id, "email": user.email, "name": user.name, "role": user.role, "created": user.created,
             "second_factor": user.second_step > 0, "disabled": user.disabled}
        )  # fmt: skip


class Me(Body):
    """Who asks. `acting` is the role that counts now, `csrf` what changes from a browser must bear."""

    account: Account
    acting: str
    team: str | None
    scopes: list[str] | None
    fresh: bool
    csrf: str | None

    @classmethod
    def of(cls, who: Viewer) -> Me:
        """What a viewer may know of themselves."""
        scopes = None if who.scopes is None else sorted(who.scopes)
        return cls(account=Account.of(who.known), acting=who.role, team=who.team_id, scopes=scopes, fresh=who.fresh,
                   csrf=who.login.csrf if who.login else None)  # fmt: skip


class Opened(Body):
    """A login that was opened."""

    account: Account
    csrf: str
    expires: int


class NewPassword(Body):
    """A change of password."""

    old: Annotated[str, Field(max_length=1000)]
    new: Annotated[str, Field(max_length=1000)]


class Forgotten(Body):
    """Whose password was forgotten."""

    email: Email


class Reset(Body):
    """A new password, with the secret of the link that came by mail."""

    secret: Secret
    password: Annotated[str, Field(max_length=1000)]


class Message(Body):
    """What someone was told."""

    id: str
    subject: str
    body: str
    created: int


class Code(Body):
    """A one-time password."""

    code: Annotated[str, Field(max_length=10)]


class SecondFactor(Body):
    """The secret of one-time passwords, to be put into an app, and the address that a QR code holds."""

    secret: str
    address: str


class NewToken(Body):
    """What a token is to be for."""

    name: Name
    scopes: Annotated[list[str], Field(min_length=1, max_length=len(SCOPES))]
    days: int = 90


class TokenView(Body):
    """A token; `token` itself is there once, when it was made."""

    id: str
    name: str
    scopes: list[str]
    created: int
    expires: int
    used: int | None
    token: str = ""

    @classmethod
    def of(cls, token: Token, key: str = "") -> TokenView:
        """A token as its owner sees it."""
        return cls(id=token.id, name=token.name, scopes=token.scopes, created=token.created, expires=token.expires,
                   used=token.used, token=key)  # fmt: skip


@router.post("/register", status_code=201, response_model=Done)
def register(body: Registration, request: Request, server: Served, who: Asking) -> Done:
    """Make an account. Log in next; the answer does not say whether the address has one: mail tells its owner."""
    server.rates.hit(_REGISTRATIONS, "register", client_of(request))
    password = server.passwords.digest(body.password, body.email, body.name)
    with server.database.write() as session:
        accounts.register_or_tell(session, body.email, body.name, password, server.settings.public_url, server.clock())
    return Done()


@router.post("/first-admin", status_code=201, response_model=Account)
def first_admin(body: FirstAdmin, request: Request, server: Served, who: Asking) -> Account:
    """Make the first administrator, by the secret that the server was started with, while there is none."""
    _limit_tries(server, request)
    secret = server.settings.first_admin.get_secret_value()
    if not secret or _differ(secret, body.secret):
        raise NotThere("there is no such link", mend="start the server anew and take the link that it prints")
    password = server.passwords.digest(body.password, body.email, body.name)
    with server.database.write() as session:
        if accounts.has_admin(session):
            raise NotThere("there is no such link", why="it was used", mend="ask an administrator")
        user = accounts.register(session, email=body.email, name=body.name, password=password, now=server.clock(),
                                 role="admin")  # fmt: skip
        return Account.of(user)


@router.post("/login", response_model=Opened)
def log_in(body: Credentials, request: Request, response: Response, server: Served) -> Opened:
    """Open a login; the cookie of the answer is what counts, the one that the browser had before does no more."""
    _limit_tries(server, request)
    email, network = body.email.strip().casefold(), client_of(request)
    with server.database.read() as session:
        user = session.scalars(select(User).where(User.email == email)).first() if "\0" not in email else None
        found = None if user is None or user.disabled else (user.id, user.password)
        known = user is not None and accounts.knows(session, user.id, network)
    name = cookie_name(server.settings)
    with _wrong_ones_counted(server, email, network, known=known):
        if not server.passwords.fits(body.password, found[1] if found else None) or found is None:
            raise NotLoggedIn("address and password do not go together", mend="check both")
        with server.database.write() as session:
            now, hours = server.clock(), server.settings.login_hours
            cookie, login = accounts.log_in(session, found[0], now, hours, network, code=body.code,
                                            before=request.cookies.get(name, ""))  # fmt: skip
            opened = Opened(account=Account.of(login.user), csrf=login.csrf, expires=login.expires)
    response.set_cookie(
        name, cookie, max_age=server.settings.login_hours * 3600, path="/", httponly=True, samesite="lax",
        secure=name.startswith("__Host-"),
    )  # fmt: skip
    return opened


@router.post("/logout", response_model=Done)
def log_out(response: Response, server: Served, who: Asking) -> Done:
    """Close the login."""
    login = _login(who)
    with server.database.write() as session:
        accounts.log_out(session, who.actor, login.id, server.clock())
    response.delete_cookie(cookie_name(server.settings), path="/", httponly=True, samesite="lax",
                           secure=server.settings.public_url.startswith("https:"))  # fmt: skip
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return Done()


@router.get("/me", response_model=Me)
def me(who: Asking) -> Me:
    """Who asks."""
    return Me.of(who)


@router.post("/me/password", response_model=Done)
def change_password(body: NewPassword, request: Request, server: Served, who: Asking) -> Done:
    """Change one's password; other logins end."""
    login, user = _login(who), who.known
    _limit_tries(server, request)
    if not server.passwords.fits(body.old, user.password):
        raise NotLoggedIn("this is not your password", mend="give the one that you have now as `old`")
    password = server.passwords.digest(body.new, user.email, user.name)
    with server.database.write() as session:
        accounts.change_password(session, who.actor, password, server.clock(), keep=login.id)
    return Done()


@router.post("/forgotten", status_code=202, response_model=Done)
def forgotten(body: Forgotten, request: Request, server: Served, who: Asking) -> Done:
    """Send a link for a new password by mail; the answer does not say whether there is such an account."""
    _limit_tries(server, request)
    if not server.settings.smtp_host:
        raise Conflict("this server sends no mail", mend="ask an administrator for a link to set a new password")
    server.rates.hit(_MAILS, "forgotten", sha256(body.email.encode()).hexdigest())
    with server.database.write() as session:
        accounts.ask_reset(session, who.actor, body.email, server.settings.public_url, server.clock())
    return Done()


@router.post("/reset", response_model=Done)
def reset(body: Reset, request: Request, server: Served, who: Asking) -> Done:
    """Set a new password by a link; log in next."""
    _limit_tries(server, request)
    with server.database.write() as session:
        user = accounts.reset(session, body.secret, server.clock())
        user.password = server.passwords.digest(body.password, user.email, user.name)
    return Done()


@router.get("/me/messages", response_model=list[Message])
def messages(server: Served, who: Asking) -> list[Message]:
    """What one was told, the latest first."""
    with server.database.read() as session:
        return [Message(id=each.id, subject=each.subject, body=each.body, created=each.created)
                for each in notices.shown(session, who.known.id)]  # fmt: skip


@router.post("/me/second-factor", status_code=201, response_model=SecondFactor)
def begin_second_factor(server: Served, who: Asking) -> SecondFactor:
    """Set one-time passwords up; they count once the first was confirmed."""
    _login(who)
    who.require_fresh()
    with server.database.write() as session:
        secret = accounts.begin_second_factor(session, who.actor, server.clock())
    address = second_factor.address(secret, who.known.email, server.settings.title)
    return SecondFactor(secret=secret, address=address)


@router.post("/me/second-factor/confirm", response_model=Done)
def confirm_second_factor(body: Code, request: Request, server: Served, who: Asking) -> Done:
    """Give the first one-time password; from now on each login needs one."""
    _login(who)
    _limit_tries(server, request)
    with server.database.write() as session:
        accounts.confirm_second_factor(session, who.actor, body.code, server.clock())
    return Done()


@router.get("/tokens", response_model=list[TokenView])
def tokens(server: Served, who: Asking) -> list[TokenView]:
    """One's tokens."""
    with server.database.read() as session:
        return [TokenView.of(token) for token in accounts.tokens(session, who.known.id)]


@router.post("/tokens", status_code=201, response_model=TokenView)
def new_token(body: NewToken, calling: Calling) -> Response:
    """Make a token for a program, shown once."""
    _login(calling.viewer)
    return calling.once(
        lambda session: TokenView.of(
            *accounts.new_token(session, calling.viewer.actor, body.name, body.scopes, body.days, calling.now)
        ),
        secret="token",
    )


@router.delete("/tokens/{token_id}", response_model=Done)
def take_back_token(token_id: str, server: Served, who: Asking) -> Done:
    """Take a token back."""
    _login(who)
    with server.database.write() as session:
        accounts.take_back_token(session, who.actor, token_id, server.clock())
    return Done()


def _login(who: Viewer) -> Login:
    """The login of a browser; a token is none.

    Raises:
        NotLoggedIn: there is none.
    """
    if who.login is None:
        raise NotLoggedIn("this needs a login", mend="log in")
    return who.login


@contextmanager
def _wrong_ones_counted(server: Server, email: str, network: str, *, known: bool) -> Iterator[None]:
    """A try to log in. Whoever tries others' accounts is shut out, and their owners are not.

    Args:
        server: that counts.
        email: of the account, which there need not be.
        network: that the try comes from.
        known: whether somebody logged in to the account from there before.

    Raises:
        TooOften: too many were wrong; they count from here, and together from all networks that are not known.
    """
    account = sha256(email.encode()).hexdigest()
    limits = [(_FROM_ONE, (account, network)), *([] if known else [(_FROM_ANY, (account,))])]
    for limit, who in limits:
        server.rates.require(limit, "account", *who)
    try:
        yield
    except NotLoggedIn:
        for limit, who in limits:
            server.rates.hit(limit, "account", *who)
        raise


def _limit_tries(server: Server, request: Request) -> None:
    server.rates.hit(RateLimitItemPerMinute(server.settings.login_tries, 15), "login", client_of(request))


def _differ(expected: str, given: str) -> bool:
    return sha256(expected.encode()).digest() != sha256(given.encode()).digest()
