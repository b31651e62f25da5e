"""Which tokens stay: the bytes, what the files name, what the policy chooses, and all that these are merged from.

𝒱 are the tokens of the model, 𝒜 the added ones, 𝒦 those that stay. 𝒦 is closed: with a token, those on the way to it
are in it (see `closure`). V′ = |𝒦| is a multiple of 64, filled up with real tokens: a row without one, whose logit is
0, could win.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, Protocol

from edgelm.compress.vocabulary.byte_bpe import ByteBpe, byte_bpe
from edgelm.compress.vocabulary.closure import Closure
from edgelm.compress.vocabulary.scripts import occurs_in
from edgelm.errors import BadOption

ALIGN = 64  # rows
Counts = Mapping[int, int]  # how often each token was met


class Policy(Protocol):
    """What says which tokens stay; one of the first three is given. The step `vocab` is one."""

    @property
    def keep(self) -> float | None:
        """A share of 𝒱 ∪ 𝒜 up to 1, or a number of tokens."""
        ...

    @property
    def langs(self) -> tuple[str, ...]:
        """Languages whose every text shall read as before."""
        ...

    @property
    def min_count(self) -> int | None:
        """How often a token must be met."""
        ...

    @property
    def specials(self) -> Literal["all", "used"]:
        """Whether special tokens that nothing names and no text has may go."""
        ...


@dataclass(frozen=True)
class Selection:
    """Which tokens stay.

    Attributes:
        old_ids: ρ⁻¹: by new id the old one; ordinary tokens in their old order, then added ones in theirs.
        entries: |𝒱 ∪ 𝒜|, the tokens that there were.
        counted: tokens of text that were met.
        survived: those of them that stay.
        warnings: for the card.
    """

    old_ids: tuple[int, ...]
    entries: int
    counted: int
    survived: int
    warnings: tuple[str, ...]

    @cached_property
    def new_ids(self) -> dict[int, int]:
        """ρ: by old id the new one."""
        return {old: new for new, old in enumerate(self.old_ids)}


def select(
    tokenizer: Mapping[str, Any],
    counts: Counts,
    policy: Policy,
    *,
    named: Set[int] = frozenset(),
    avoid: Collection[int] = (),
) -> Selection:
    """Choose the tokens that stay.

    V′ follows from the tokenizer alone under `keep` and `langs`, which tokens fill it from the counts; under
    `min_count`, and if special tokens may go, V′ follows from both. `keep` is met exactly: of the tokens in order of
    frequency each is taken that fits with those it is merged from. Only what must stay can make it more.

    Args:
        tokenizer: a parsed `tokenizer.json`.
        counts: how often each id occurs in the text to go by.
        policy: see `Policy`.
        named: ids that stay whatever the text is like (see `named_tokens`).
        avoid: values that V′ shall not have.

    Raises:
        Unsupported, BadFile: see `byte_bpe`.
        BadOption: what must stay cannot be made a multiple of 64, so few are the tokens that could go.
    """
    bpe = byte_bpe(tokenizer)
    closure = Closure(bpe)
    never = _unused(bpe, counts, named) if policy.specials == "used" else set()
    must = bpe.byte_ids | (named & bpe.texts.keys()) | (bpe.added.keys() - never - _ordinary(bpe, policy))
    kept: set[int] = set()
    for token in must | (_chosen(bpe, counts, policy) - never):
        kept |= closure.missing(token, kept)
    order = sorted(bpe.texts.keys() - kept - never, key=lambda token: (-counts.get(token, 0), token))
    wanted = len(kept) if policy.keep is None else wanted_rows(policy.keep, len(bpe.texts))
    size = _size(wanted, len(kept), len(kept) + len(order), avoid)
    warnings = _warnings(policy, counts, wanted, size)
    _fill(kept, order, size, closure)
    survived = sum(count for token, count in counts.items() if token in kept)
    old_ids = tuple(sorted(kept, key=lambda token: (token in bpe.added, token)))
    return Selection(old_ids, len(bpe.texts), sum(counts.values()), survived, warnings)


def _unused(bpe: ByteBpe, counts: Counts, named: Set[int]) -> set[int]:
    """Special tokens that nothing names, no text has, and no merge is made of."""
    merged = {bpe.ids[part] for merge in bpe.merges for part in merge}
    return {token for token, added in bpe.added.items()
            if added.special and token not in named and not counts.get(token) and token not in merged}  # fmt: skip


def _ordinary(bpe: ByteBpe, policy: Policy) -> set[int]:
    """Added tokens that are text like any other, where those that are not used may go: the policy decides of them."""
    return {token for token, added in bpe.added.items() if not added.special and policy.specials == "used"}


def _chosen(bpe: ByteBpe, counts: Counts, policy: Policy) -> set[int]:
    """The tokens that stay because of the policy; under `keep` those that fit are found later."""
    if policy.langs:
        occurs = occurs_in(policy.langs)
        return {token for token in bpe.texts if occurs(bpe.spelled(token))}
    if policy.min_count is not None:
        return {token for token in bpe.texts if counts.get(token, 0) >= policy.min_count}
    return set()


def wanted_rows(keep: float, entries: int) -> int:
    """The number of tokens that a share or a number asks for, up to the next multiple of 64."""
    exact = Fraction(str(keep))  # as it was written: 0.55 · 6400 is 3520
    return _up(math.ceil(exact * entries if keep <= 1 else exact))


def _up(count: int) -> int:
    return -(-count // ALIGN) * ALIGN


def _size(wanted: int, least: int, most: int, avoid: Collection[int]) -> int:
    """V′: the first multiple of 64 from `wanted` on that is not to be avoided; the last below, if there is none.

    Raises:
        BadOption: there is none from `least` to `most` at all.
    """
    sizes = [size for size in range(_up(least), most + 1, ALIGN) if size not in avoid]
    if not sizes:
        raise BadOption(f"{least:,} of {most:,} tokens must stay, and no multiple of {ALIGN} lies between",
                        mend="leave the step vocab out")  # fmt: skip
    return next((size for size in sizes if size >= wanted), sizes[-1])


def _warnings(policy: Policy, counts: Counts, wanted: int, size: int) -> tuple[str, ...]:
    found = []
    if policy.keep is not None and size != wanted:
        found.append(f"vocab: {size:,} tokens stay where {wanted:,} were asked for")
    if policy.keep is not None and not any(counts.values()):
        found.append("vocab: no text to count tokens in, so that those of the lowest ids stay")
    return tuple(found)


def _fill(kept: set[int], order: Sequence[int], size: int, closure: Closure) -> None:
    """Add tokens in that order, each with what it is merged from, until there are `size`; what does not fit waits.

    It ends: the shortest token that is not kept is merged from kept ones, so that one more always fits.
    """
    while len(kept) < size:
        for token in order:
            more = closure.missing(token, kept)
            if len(kept) + len(more) <= size:
                kept |= more
            if len(kept) == size:
                return
