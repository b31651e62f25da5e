"""Why the server does not do what it was asked to, each with the status that HTTP has for it."""

from __future__ import annotations

from edgelm.errors import InputError


class Refused(InputError):
    """Not done, and nothing was changed. `code` is a finding's, where the checker knows the case."""

    status = 400

    def __init__(self, what: str, *, why: str = "", mend: str = "", code: str = "") -> None:
        super().__init__(what, why=why, mend=mend)
        self.code = code


class NotLoggedIn(Refused):
    """Whoever asks must say who they are."""

    status = 401


class Forbidden(Refused):
    """Whoever asks may not."""

    status = 403


class NotThere(Refused):
    """There is no such thing, or none that whoever asks may know of."""

    status = 404


class Conflict(Refused):
    """It does not go together with what is there already."""

    status = 409


class TooMuch(Refused):
    """Larger than is taken."""

    status = 413


class TooOften(Refused):
    """Asked too often in too short a time; `wait` is how many seconds to wait."""

    status = 429

    def __init__(self, what: str, *, why: str = "", wait: int) -> None:
        super().__init__(what, why=why, mend=f"wait {wait} seconds, then try again")
        self.wait = wait
