"""Decisions that two people sign: what counts as two signatures."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator


def two_signatures(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of two different people, in their order.

    Raises:
        ValueError: there are others.
    """
    if len(names) != 2 or len({name.strip().casefold() for name in names}) != 2 or not all(map(str.strip, names)):
        raise ValueError("two different people must sign")
    return names


Signatures = Annotated[tuple[str, ...], AfterValidator(two_signatures)]
