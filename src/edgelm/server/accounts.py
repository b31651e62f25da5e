"""Accounts: who there is, who is logged in, which programs act for whom, who runs the competition."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from edgelm.server import audit, second_factor
from edgelm.server.access import SCOPES, UserRole
from edgelm.server.audit import Actor
from edgelm.server.clock import SECOND
from edgelm.server.keys import TOKEN, WORKER_KEY, digest, new_key
from edgelm.server.notices import tell, tell_address
from edgelm.server.refusals import Conflict, Forbidden, NotLoggedIn, NotThere, Refused
from edgelm.server.tables import Known, Login, Member, Reset, Token, User, Worker

VISITOR = Actor("visitor", "visitor")
_HOUR, _DAY = 3600 * SECOND, 24 * 3600 * SECOND
MOST_DAYS = 366  # that a token is valid
MOST_TOKENS = 20


def register(
    session: Session, *, email: str, name: str, password: str, now: int, role: UserRole = "participant"
) -> User:
    """Make an account.

    Args:
        session: a writing one.
        email: case-folded.
        name: as shown to others of the team.
        password: its digest.
        now: microseconds.
        role: more than participant only for the first administrator.

    Raises:
        Conflict: the address has an account.
    """
    if session.scalars(select(User).where(User.email == email)).first():
        raise Conflict(f"{email} has an account already", mend="log in, or register with another address")
    user = User(email=email, name=name, password=password, role=role, created=now)
    session.add(user)
    session.flush()
    audit.record(session, Actor(user.id, role), "user.register", user.id, now, after={"email": email, "name": name})
    return user


def register_or_tell(session: Session, email: str, name: str, password: str, url: str, now: int) -> None:
    """Make an account, or, if the address has one, tell its owner by mail that somebody wanted another."""
    if session.scalars(select(User).where(User.email == email)).first() is None:
        register(session, email=email, name=name, password=password, now=now)
        return
    body = (
        f"You have an account already. If you forgot the password, open {url}/forgotten. If it was not you, leave it."
    )
    tell_address(session, email, "Somebody registered with your address", body, now)
    audit.record(session, VISITOR, "user.register.again", "", now)  # as much is written as for a new account


def knows(session: Session, user_id: str, network: str) -> bool:
    """Whether someone logged in from a network before."""
    return session.get(Known, (user_id, digest(network))) is not None


def find(session: Session, user_id: str) -> User:
    """The account of that id.

    Raises:
        NotThere: there is none.
    """
    user = session.get(User, user_id)
    if user is None:
        raise NotThere("there is no such account", mend="see the list of accounts")
    return user


def has_admin(session: Session) -> bool:
    """Whether anyone can administer the server."""
    return session.scalars(select(User).where(User.role == "admin").limit(1)).first() is not None


def log_in(
    session: Session, user_id: str, now: int, hours: int, network: str = "", *, code: str = "", before: str = ""
) -> tuple[str, Login]:
    """Open a login for someone whose password was right, and close the one that the browser had.

    Args:
        session: a writing one.
        user_id: who.
        now: microseconds.
        hours: that it lasts.
        network: that they come from, if that is known.
        code: the one-time password, if the account has them.
        before: the cookie that came with the request.

    Returns:
        The new cookie and what is kept of it.

    Raises:
        NotLoggedIn: the one-time password is missing, wrong or was taken before.
    """
    user = find(session, user_id)
    if user.second_step and not _take(user, code, now):
        mend = "give the six digits that your app shows now"
        raise NotLoggedIn("a one-time password is needed", why="none, a wrong or a used one came", mend=mend)
    session.execute(delete(Login).where((Login.id == digest(before)) | (Login.expires <= now)))
    cookie = new_key()
    login = Login(id=digest(cookie), user=user, csrf=new_key(), created=now, expires=now + hours * _HOUR)
    session.add(login)
    if network:
        session.merge(Known(user_id=user.id, network=digest(network), last=now))
    audit.record(session, Actor(user.id, user.role), "login", user.id, now)
    return cookie, login


def log_out(session: Session, actor: Actor, login_id: str, now: int) -> None:
    """Close a login."""
    session.execute(delete(Login).where(Login.id == login_id))
    audit.record(session, actor, "logout", actor.id, now)


def change_password(session: Session, actor: Actor, password: str, now: int, keep: str) -> None:
    """Set the digest of a new password, and close all logins but `keep` and every link by which another is set."""
    user = find(session, actor.id)
    user.password = password
    session.execute(delete(Reset).where(Reset.user_id == user.id))
    session.execute(delete(Login).where(Login.user_id == user.id, Login.id != keep))
    audit.record(session, actor, "user.password", user.id, now)
    tell(session, [user], "Your password was changed", "If it was not you, tell the organisers.", now)


def ask_reset(session: Session, actor: Actor, email: str, url: str, now: int) -> None:
    """Send a link for a new password to an address, if it has an account."""
    user = session.scalars(select(User).where(User.email == email)).first()
    if user is not None and not user.disabled:
        begin_reset(session, actor, user, url, now)
    else:
        audit.record(session, actor, "user.reset.unknown", "", now)  # a write takes time: there is one in each case


def begin_reset(session: Session, actor: Actor, user: User, url: str, now: int, reason: str = "") -> str:
    """A link's secret, by which someone who forgot the password sets another; it is sent by mail."""
    session.execute(delete(Reset).where((Reset.user_id == user.id) | (Reset.expires <= now)))
    secret = new_key()
    session.add(Reset(sha256=digest(secret), user=user, expires=now + _DAY))
    audit.record(session, actor, "user.reset.begin", user.id, now, reason=reason)
    body, link = "Within a day, open this link. If you did not ask for it, leave it.", f"{url}/reset?secret={secret}"
    tell_address(session, user.email, "Set a new password", body, now, link)
    return secret


def reset(session: Session, secret: str, now: int) -> User:
    """Whose new password a link's secret is for; it counts no more, and all their logins and tokens end.

    Raises:
        NotThere: there is no such link, or it was used or has run out.
    """
    found = session.get(Reset, digest(secret))
    if found is None or found.expires <= now or found.user.disabled:
        raise NotThere("there is no such link", why="it was used or has run out", mend="ask for another")
    user = found.user
    session.delete(found)
    for table in (Login, Token):
        session.execute(delete(table).where(table.user_id == user.id))
    audit.record(session, Actor(user.id, user.role), "user.reset", user.id, now)
    return user


# One-time passwords


def begin_second_factor(session: Session, actor: Actor, now: int) -> str:
    """A secret of one-time passwords, which counts once one of them was given.

    Raises:
        Conflict: there is one that counts.
    """
    user = find(session, actor.id)
    if user.second_step:
        raise Conflict("one-time passwords are set up already", mend="ask an administrator to take them away first")
    user.second_factor = second_factor.new_secret()
    audit.record(session, actor, "user.second-factor.begin", user.id, now)
    return user.second_factor


def confirm_second_factor(session: Session, actor: Actor, code: str, now: int) -> None:
    """Let one-time passwords count from now on.

    Raises:
        Refused: this is none of them.
    """
    user = find(session, actor.id)
    if not user.second_factor or not _take(user, code, now):
        raise Refused("this is not the current one-time password", mend="give the six digits that your app shows now")
    audit.record(session, actor, "user.second-factor", user.id, now)


def _take(user: User, code: str, now: int) -> bool:
    step = second_factor.step_of(user.second_factor, code, now, user.second_step)
    if step is None:
        return False
    user.second_step = step
    return True


# Programs


def new_token(
    session: Session, actor: Actor, name: str, scopes: Sequence[str], days: int, now: int
) -> tuple[Token, str]:
    """A program's access to one's own account.

    Returns:
        What is kept of the token, and the token, shown once.

    Raises:
        Refused: a scope that there is not, none at all, or days beyond a year.
        Conflict: too many tokens.
    """
    unknown = sorted(set(scopes) - SCOPES.keys())
    if unknown or not scopes:
        raise Refused(f"no scope '{unknown[0]}'" if unknown else "no scope", mend=f"choose of {', '.join(SCOPES)}")
    if not 1 <= days <= MOST_DAYS:
        raise Refused(f"no token is valid for {days} days", mend=f"choose 1 to {MOST_DAYS}")
    session.execute(delete(Token).where(Token.user_id == actor.id, Token.expires <= now))
    if len(tokens(session, actor.id)) >= MOST_TOKENS:
        raise Conflict(f"you have {MOST_TOKENS} tokens", mend="take one back first")
    key = new_key(TOKEN)
    token = Token(sha256=digest(key), user_id=actor.id, name=name, scopes=sorted(set(scopes)), created=now,
                  expires=now + days * _DAY)  # fmt: skip
    session.add(token)
    session.flush()
    audit.record(session, actor, "token.create", token.id, now, after={"name": name, "scopes": token.scopes})
    return token, key


def tokens(session: Session, user_id: str) -> list[Token]:
    """A user's tokens, the oldest first."""
    return list(session.scalars(select(Token).where(Token.user_id == user_id).order_by(Token.created, Token.id)))


def take_back_token(session: Session, actor: Actor, token_id: str, now: int) -> None:
    """End a token of one's own.

    Raises:
        NotThere: there is none of that id.
    """
    token = session.get(Token, token_id)
    if token is None or token.user_id != actor.id:
        raise NotThere("there is no such token", mend="list yours")
    session.delete(token)
    audit.record(session, actor, "token.delete", token_id, now)


def new_worker(session: Session, actor: Actor, name: str, tags: Sequence[str], now: int) -> tuple[Worker, str]:
    """A machine that evaluates, and its key, shown once; if it had one, that ends."""
    key = new_key(WORKER_KEY)
    worker = session.get(Worker, name)
    if worker is None:
        worker = Worker(name=name, created=now)
        session.add(worker)
    worker.sha256, worker.tags, worker.disabled = digest(key), sorted(set(tags)), False
    audit.record(session, actor, "worker.key", f"worker:{name}", now, after={"tags": worker.tags})
    return worker, key


def workers(session: Session) -> list[Worker]:
    """All machines that evaluate, by name."""
    return list(session.scalars(select(Worker).order_by(Worker.name)))


def disable_worker(session: Session, actor: Actor, name: str, now: int) -> None:
    """End a machine's key.

    Raises:
        NotThere: no machine is called so.
    """
    worker = session.get(Worker, name)
    if worker is None:
        raise NotThere(f"no worker is called {name}", mend="see the list of workers")
    worker.disabled = True
    audit.record(session, actor, "worker.disable", f"worker:{name}", now)


# Administration


def users(session: Session) -> list[User]:
    """All accounts, by address."""
    return list(session.scalars(select(User).order_by(User.email)))


def set_role(session: Session, actor: Actor, user_id: str, role: UserRole, reason: str, now: int) -> User:
    """Give someone another role, and end their logins.

    Raises:
        NotThere: no such account.
        Conflict: a member of a team would run the competition, or nobody would administer it.
    """
    user = find(session, user_id)
    if role != "participant" and session.get(Member, user.id) is not None:
        why = "nobody runs a competition and takes part in it"
        raise Conflict(f"{user.email} is in a team", why=why, mend="they must leave it first")
    if role != "admin":
        _keep_an_admin(session, user)
    before, user.role = user.role, role
    session.execute(delete(Login).where(Login.user_id == user.id))
    audit.record(session, actor, "user.role", user.id, now, before=before, after=role, reason=reason)
    tell(session, [user], f"You are {role} now", reason, now)
    return user


def set_disabled(session: Session, actor: Actor, user_id: str, disabled: bool, reason: str, now: int) -> User:
    """Shut someone out, or let them in again; what they did stays.

    Raises:
        NotThere: no such account.
        Conflict: nobody would be left who administers the server.
    """
    user = find(session, user_id)
    if disabled:
        _keep_an_admin(session, user)
    before, user.disabled = user.disabled, disabled
    session.execute(delete(Login).where(Login.user_id == user.id))
    audit.record(session, actor, "user.disable", user.id, now, before=before, after=disabled, reason=reason)
    return user


def reset_second_factor(session: Session, actor: Actor, user_id: str, reason: str, now: int) -> User:
    """Take away one-time passwords of someone who lost their telephone, and end their logins.

    Raises:
        NotThere: no such account.
        Forbidden: one's own.
    """
    user = find(session, user_id)
    if user.id == actor.id:
        raise Forbidden("nobody takes away their own one-time passwords", mend="ask another administrator")
    user.second_factor, user.second_step = "", 0
    session.execute(delete(Login).where(Login.user_id == user.id))
    audit.record(session, actor, "user.second-factor.reset", user.id, now, reason=reason)
    tell(session, [user], "Your one-time passwords were taken away", reason, now)
    return user


def _keep_an_admin(session: Session, user: User) -> None:
    admins = select(func.count()).select_from(User).where(User.role == "admin", ~User.disabled, User.id != user.id)
    if user.role == "admin" and not session.scalar(admins):
        raise Conflict(f"{user.email} is the last administrator", mend="make another one first")
