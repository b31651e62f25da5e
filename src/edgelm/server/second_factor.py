"""One-time passwords of a telephone's app (RFC 6238): six digits, for half a minute, taken once."""

from __future__ import annotations

import base64
import hmac
import secrets
from urllib.parse import quote

from edgelm.server.clock import SECOND

_STEP = 30 * SECOND
_NEIGHBOURS = (0, -1, 1)  # steps by which a telephone's clock may be wrong


def new_secret() -> str:
    """A secret of 160 bits, as apps take it."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def address(secret: str, owner: str, issuer: str) -> str:
    """What an app reads as a QR code."""
    return f"otpauth://totp/{quote(issuer)}:{quote(owner)}?secret={secret}&issuer={quote(issuer)}"


def code(secret: str, step: int) -> str:
    """The digits of a step."""
    mac = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    start = mac[-1] & 15
    return f"{(int.from_bytes(mac[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


def step_of(secret: str, given: str, now: int, after: int) -> int | None:
    """The step whose digits were given, if it is about now and later than `after`, the last that was taken."""
    steps = [now // _STEP + neighbour for neighbour in _NEIGHBOURS]
    fitting = [step for step in steps if hmac.compare_digest(code(secret, step).encode(), given.encode())]
    return next((step for step in fitting if step > after), None)
