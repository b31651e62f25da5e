"""M-01: the secret seed of a competition, from which every order and choice of a verification follows."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from edgelm.errors import BadOption
from edgelm.files import canonical_json, sha256_bytes

SHORTEST = 16  # bytes: what nobody guesses
Item = TypeVar("Item")


@dataclass(frozen=True)
class Seed:
    """A secret that is published when all is over, and its digest beforehand. It is not part of any text of this."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < SHORTEST:
            raise BadOption(f"the seed has {len(self.secret)} bytes, which might be guessed",
                            mend=f"make one of {SHORTEST} or more: openssl rand -hex 32")  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> Seed:
        """The seed that hexadecimal digits write.

        Raises:
            BadOption: they are none, or too few.
        """
        try:
            return cls(bytes.fromhex(text))
        except ValueError:
            raise BadOption("the seed is not hexadecimal", mend="make one: openssl rand -hex 32") from None

    @property
    def digest(self) -> str:
        """The sha256 of the seed, which is published at the opening."""
        return sha256_bytes(self.secret)

    def rank(self, *names: str) -> bytes:
        """A place in an order that only the seed's holder knows: HMAC-SHA256 over the names, kept apart."""
        return hmac.digest(self.secret, canonical_json(list(names)), "sha256")

    def order(self, items: Iterable[Item], name: Callable[[Item], str], *within: str) -> list[Item]:
        """Items in the order that the seed gives them within, such as, a submission and a task.

        It depends on the items' names alone: neither on the order they come in, nor on what else there is.
        """
        return sorted(items, key=lambda item: self.rank(*within, name(item)))
