"""How pages write figures and times, and what they say after something was done."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from edgelm.rules.phases import AOE
from edgelm.server.clock import SECOND, moment

_MINUTES = "%Y-%m-%d %H:%M"
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))

# What a page says after its form was taken: a cookie bears the key alone, so that nobody puts words into our mouth.
SAID = {
    "registered": "Log in now. If the address had an account before, its password stays.",
    "first-admin": "The first administrator is made. Log in, then set one-time passwords up.",
    "logged-in": "You are logged in.",
    "logged-out": "You are logged out.",
    "ended": "Your login has ended: its time is over, or your password or role was changed. Log in again.",
    "forgotten": "If there is such an account, a link is on its way by mail. It is good for a day.",
    "reset": "Your password is changed. Log in with the new one.",
    "password": "Your password is changed; other logins have ended.",
    "second-factor": "One-time passwords are on. From now on each login needs one.",
    "token-gone": "The token is taken back.",
    "team": "The team is registered, and you are its captain.",
    "team-first": "Packages are handed in by a team: found one first, or join one.",
    "joined": "You are in the team.",
    "left": "You have left the team.",
    "tracks": "The tracks are changed.",
    "invitation-gone": "The invitation is taken back.",
    "removed": "The member is removed.",
    "captain": "The captain's part is handed over.",
    "webhook-gone": "Nothing is posted there any more.",
    "webhook-test": "A message is on its way there.",
    "handed-in": "The package is handed in. You can leave this page: you get a message when something changes.",
    "smoke": "The package is taken for a smoke run. You can leave this page: you get a message when it has ended.",
    "given-up": "The upload is given up.",
    "withdrawn": "The submission is taken back.",
    "appealed": "The appeal is made; the organisers are told.",
    "paused": "The queue is paused.",
    "resumed": "Jobs are leased again.",
    "requeued": "The job waits again.",
    "prioritised": "The order is changed.",
    "rerun": "It waits to be evaluated anew.",
    "rescored": "It waits to be marked anew.",
    "cancelled": "It is cancelled; the team is told.",
    "cleared": "The review is cleared; the team is told.",
    "proposed": "It is proposed. Somebody else must second it.",
    "seconded": "It is seconded and done.",
    "decided": "It is done, and the board published anew.",
    "off-the-table": "The proposal is withdrawn.",
    "appeal-decided": "The appeal is decided; the team is told.",
    "dates": "The dates are changed; all teams are told.",
    "rules": "The rules are in force; all teams are told.",
    "granted": "The slot is granted.",
    "announced": "It is announced.",
    "stage-2": "Stage 2 has begun; who is invited is told.",
    "drawn": "A finalist is drawn, and told.",
    "moved": "It is kept; the team is told.",
    "entered": "The figures are kept; see the conditions.",
    "worker-gone": "The worker’s key has ended.",
    "role": "The role is changed.",
    "shut-out": "The account is shut out.",
    "let-in": "The account is let in again.",
    "second-factor-gone": "One-time passwords are taken away.",
}  # fmt: skip


def when(microseconds: int | None) -> Markup:
    """A time in UTC and AoE; a script adds the reader's own."""
    if microseconds is None:
        return Markup("–")
    at = moment(microseconds)
    aoe = at.astimezone(AOE)
    return Markup('<time datetime="{}">{} UTC <small>{} AoE</small></time>').format(
        f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:{_MINUTES}}", f"{aoe:{_MINUTES}}"
    )


def span(microseconds: int) -> str:
    """A length of time in its two largest units: 3 days 4 hours."""
    left = max(0, microseconds) // SECOND
    parts = []
    for unit, name in _UNITS:
        number, left = divmod(left, unit)
        if number:
            parts.append(f"{number} {name}{'s' if number != 1 else ''}")
    return " ".join(parts[:2]) or "less than a minute"


def until(microseconds: int, now: int) -> Markup:
    """How long it is until then; a script goes on counting."""
    at = moment(microseconds)
    return Markup('<time class="countdown" datetime="{}">{}</time>').format(
        f"{at:%Y-%m-%dT%H:%M:%SZ}", span(microseconds - now)
    )


def ago(microseconds: int, now: int) -> str:
    """How long ago something was, to the second while that says something."""
    seconds = max(0, now - microseconds) // SECOND
    return f"{seconds} s ago" if seconds < 120 else f"{span(now - microseconds)} ago"


def plural(number: int, one: str, many: str = "") -> str:
    """A number with what it counts: 1 slot, 3 slots."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def titled(title: str, id: str) -> str:
    """What a submission is called, which may have no title."""
    return title or f"Submission {id}"


def named(values: Iterable[str]) -> list[tuple[str, str]]:
    """Values that are called as they are, as fields of a choice take them."""
    return [(value, value) for value in values]
