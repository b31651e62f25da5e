"""Passwords, kept as argon2id."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from edgelm.server.refusals import Refused

LEAST, MOST = 12, 256  # characters
_STRONG = 3  # of zxcvbn's 0 to 4: at least 10^8 guesses, of one who knows the common passwords
_JUDGED = 72  # characters: judging takes longer than in proportion
_AT_ONCE = 4  # digests that are made at once: each takes the memory that it was set to


class Passwords:
    """Makes and compares digests of passwords.

    Args:
        memory: KiB that one takes; with two passes over it, 19 MiB is OWASP's least.
    """

    def __init__(self, memory: int) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=memory, parallelism=1)
        self._turns = threading.Semaphore(_AT_ONCE)
        self._nobodys = self._hasher.hash("")

    def digest(self, password: str, *known: str) -> str:
        """What is kept of a new password; `known` is what others know of its owner.

        Raises:
            Refused: it is too short, too long, or easily guessed: common, a pattern, or made of what others know.
        """
        if not LEAST <= len(password) <= MOST:
            why, mend = f"it has {len(password)} characters", f"choose one of {LEAST} to {MOST}"
            raise Refused("this is no password that is taken", why=why, mend=mend)
        judged = zxcvbn(password[:_JUDGED], user_inputs=[part for word in known for part in (word, *word.split("@"))])
        if judged["score"] < _STRONG:
            why = judged["feedback"]["warning"].rstrip(".")
            raise Refused("this password is easily guessed", why=why, mend="choose another, such as four odd words")
        with self._turns:
            return self._hasher.hash(password)

    def fits(self, password: str, digest: str | None) -> bool:
        """Whether a password is the one of that digest. Without a digest it is not, which takes as long to find."""
        try:
            with self._turns:
                return self._hasher.verify(digest or self._nobodys, password) and digest is not None
        except (VerificationError, InvalidHashError):
            return False
