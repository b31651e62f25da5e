"""Who asks, and what they may: the one place where logins, tokens and keys become a role."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Literal, get_args

from fastapi import Request
from limits import RateLimitItemPerMinute
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from edgelm.server.app import server_of
from edgelm.server.audit import Actor
from edgelm.server.clock import SECOND
from edgelm.server.keys import digest
from edgelm.server.rates import network
from edgelm.server.refusals import Forbidden, NotLoggedIn, NotThere
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Login, Member, Token, User, Worker
from edgelm.server.web import SAFE

UserRole = Literal["participant", "reviewer", "organiser", "admin"]  # each may do what those before it may
Role = Literal["visitor", UserRole, "worker"]
LADDER: tuple[UserRole, ...] = get_args(UserRole)
SCOPES = {
    "read": "see all that its owner may see, but not the organisers' side",
    "submit": "upload and hand in packages, see what becomes of them, withdraw, appeal",
    "team": "change the team",
    "organise": "do and see what organisers do, if its owner is one",
}
FRESH = 15 * 60 * SECOND  # after a password was given
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf"
_PLACES = {  # by scope, the first parts of paths below which it may see and change something
    "submit": ("uploads", "blobs", "tus", "submissions", "smoke", "stage2"), "team": ("teams",),
    "organise": ("admin", "appeals"),
}  # fmt: skip
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_USED = 60 * SECOND  # how precisely the last use of a token is kept


@dataclass(frozen=True)
class Viewer:
    """Whoever asks. What `user` or `worker` says is as it was when the request came."""

    user: User | None = None
    worker: Worker | None = None
    team_id: str | None = None
    role: Role = "visitor"
    scopes: frozenset[str] | None = None  # of a token; without one, everything
    fresh: bool = False  # whether the password was given a short while ago
    login: Login | None = None  # of a browser

    @property
    def actor(self) -> Actor:
        """Whoever asks, as the audit log has them."""
        if self.worker is not None:
            return Actor(f"worker:{self.worker.name}", self.role)
        return Actor(self.user.id if self.user else "visitor", self.role)

    @property
    def known(self) -> User:
        """The user that asks.

        Raises:
            NotLoggedIn: it is none.
        """
        if self.user is None:
            raise NotLoggedIn("this needs a login", mend="log in, or send a token as Authorization: Bearer …")
        return self.user

    @property
    def held_back(self) -> bool:
        """Whether one has a role that one may not act in now."""
        return self.user is not None and self.user.role != self.role

    def may(self, *roles: Role) -> bool:
        """Whether one of these roles is theirs, or a lower one than theirs."""
        if self.role in LADDER:
            return bool(set(LADDER[: LADDER.index(self.role) + 1]) & set(roles))
        return self.role in roles

    def require(self, *roles: Role) -> None:
        """Let through whoever has one of these roles, or a higher one.

        Raises:
            NotLoggedIn, Forbidden: they have not.
        """
        if not self.may(*roles):
            if self.role == "visitor":
                raise NotLoggedIn(f"this is for {_listed(roles)}", mend="log in, or send a token or key")
            why, mend = f"you are {self.role}", ""
            if self.held_back:
                by_login = self.scopes is None
                how = "with one-time passwords" if by_login else "by a token with the scope 'organise'"
                mend = f"{'set them up' if by_login else 'make one'} on the page of your account (/account)"
                why = f"you act as {self.known.role} only {how}"
            raise Forbidden(f"this is for {_listed(roles)}", why=why, mend=mend)

    def require_member(self, team_id: str) -> None:
        """Let through members of a team.

        Raises:
            NotLoggedIn: a visitor.
            NotThere: anybody else, who need not know that there is such a team.
        """
        if self.role == "visitor":
            raise NotLoggedIn("this is for members of the team", mend="log in, or send a token")
        if self.team_id != team_id:
            raise NotThere("there is no such thing", why="or it is another team's")

    def require_sight(self, team_id: str) -> None:
        """Let through members of a team, and reviewers and organisers.

        Raises:
            NotLoggedIn, NotThere: as `require_member`.
        """
        if not self.may("reviewer"):
            self.require_member(team_id)

    def require_scope(self, name: str) -> None:
        """Let through logins, and tokens with that scope.

        Raises:
            Forbidden: a token without it.
        """
        if self.scopes is not None and name not in self.scopes:
            raise Forbidden(f"this token may not {name}", mend=f"make one with the scope '{name}'")

    def require_fresh(self) -> None:
        """Let through who gave the password a short while ago.

        Raises:
            NotLoggedIn: it was longer ago, or this is a token.
        """
        if not self.fresh:
            minutes = FRESH // SECOND // 60
            raise NotLoggedIn("this needs a fresh login", why=f"at most {minutes} minutes old", mend="log in again")


async def viewer(request: Request) -> Viewer:
    """Who sends a request; what calls depend on.

    Raises:
        NotLoggedIn: a token or key that is not, or no longer, valid.
        Forbidden: a browser's change without its CSRF token, or what the token's scopes leave out.
        TooOften: too many changes.
    """
    server = server_of(request)
    found = await run_in_threadpool(
        _found, server, request.headers.get("authorization", ""), request.cookies.get(cookie_name(server.settings), "")
    )
    if request.method not in SAFE:
        if found.login is not None and not hmac.compare_digest(await _csrf(request), found.login.csrf.encode()):
            why = "a page of another site may have sent it"
            raise Forbidden("the form is out of date", why=why, mend="load the page again, then send it once more")
        if found.worker is None:
            limit = RateLimitItemPerMinute(server.settings.changes)
            server.rates.hit(limit, "changes", found.user.id if found.user else client_of(request))
    hold_to_scopes(found, request.method, request.url.path)
    return found


def cookie_name(settings: Settings) -> str:
    """What the cookie of a login is called; browsers hold the first name to https, this host and all of its paths."""
    return "__Host-edgelm" if settings.public_url.startswith("https:") else "edgelm"


def client_of(request: Request) -> str:
    """The address that a request came from, for limits."""
    return network(request.client.host if request.client else "")


def _found(server: Server, authorization: str, cookie: str) -> Viewer:
    if not authorization and not cookie:
        return Viewer()
    now = server.clock()
    scheme, _, key = authorization.partition(" ")
    key = digest(key.strip()) if scheme.lower() == "bearer" else ""
    token = None
    with server.database.read() as session:
        if not authorization:
            found = _by_cookie(session, server, cookie, now)
        elif worker := session.scalars(select(Worker).where(Worker.sha256 == key, ~Worker.disabled)).first():
            found = Viewer(worker=worker, role="worker")
        else:
            token = session.scalars(select(Token).where(Token.sha256 == key)).first()
            found = _by_token(session, server, token, now)
        session.expunge_all()
    if token is not None and now - (token.used or 0) >= _USED:  # not while the connection for reading is held
        _keep_use(server, token.id, now)
    return found


def _by_token(session: Session, server: Server, token: Token | None, now: int) -> Viewer:
    if token is None or token.expires <= now or token.user.disabled:
        mend = "send Authorization: Bearer … with a token of yours"
        raise NotLoggedIn("this token or key is not valid", why="unknown, run out or taken back", mend=mend)
    scopes = frozenset(token.scopes)
    role = _role(token.user, server) if "organise" in scopes else "participant"
    return Viewer(token.user, team_id=_team_of(session, token.user), role=role, scopes=scopes)


def _by_cookie(session: Session, server: Server, cookie: str, now: int) -> Viewer:
    login = session.get(Login, digest(cookie))
    if login is None or login.expires <= now or login.user.disabled:
        return Viewer()
    return Viewer(
        login.user, team_id=_team_of(session, login.user), role=_role(login.user, server),
        fresh=now - login.created < FRESH, login=login,
    )  # fmt: skip


def _team_of(session: Session, user: User) -> str | None:
    member = session.get(Member, user.id)
    return member.team_id if member else None


def _role(user: User, server: Server) -> UserRole:
    """What a user may be now: nobody is more than a participant without one-time passwords, where these are needed."""
    held = next(role for role in LADDER if role == user.role)
    return held if user.second_step or not server.settings.second_factor else "participant"


def _keep_use(server: Server, token_id: str, now: int) -> None:
    """Keep when a token was last used; the audit log does not tell of that."""
    with server.database.write() as session:
        session.execute(update(Token).where(Token.id == token_id).values(used=now))


def hold_to_scopes(found: Viewer, method: str, path: str) -> None:
    """Refuse what a token's scopes leave out. Changes that no scope names are made by a login alone."""
    if found.scopes is None:
        return
    first = path.split("/")[1]
    needed = next((scope for scope, places in _PLACES.items() if first in places), None)
    if method in SAFE:
        if not {needed, "organise"} & found.scopes:
            found.require_scope("read")
    elif needed is None:
        raise Forbidden("no token may do this", mend="log in and do it there")
    else:
        found.require_scope(needed)


async def _csrf(request: Request) -> bytes:
    """The CSRF token that a request bears, in a header or a field of its form."""
    sent: object = request.headers.get(CSRF_HEADER)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent is None and request.method == "POST" and kind in _FORMS:  # others may bring what memory does not hold
        sent = (await request.form()).get(CSRF_FIELD)
    return sent.encode(errors="replace") if isinstance(sent, str) else b""


def _listed(roles: tuple[str, ...]) -> str:
    return " and ".join(f"{role}s" for role in roles)
