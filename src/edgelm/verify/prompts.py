"""The prompts of the timed runs: one text, its sentences in ever another order, cut to an exact number of tokens."""

from __future__ import annotations

from collections.abc import Callable

from edgelm.devices.prompt import exact_tokens, reordered
from edgelm.verify.seed import Seed


def timed_prompts(
    seed: Seed, track: str, encode: Callable[[str], list[int]], *, count: int, tokens: int, vocab: int
) -> list[list[int]]:
    """Token ids of `count` prompts, drawn once for a track: all its submissions read the same.

    Raises:
        Unsupported: the tokenizer makes too few tokens, or ids that the model has no row for.
    """
    return [exact_tokens(_shuffling(encode, seed, track, number), tokens, vocab) for number in range(count)]


def _shuffling(encode: Callable[[str], list[int]], seed: Seed, track: str, number: int) -> Callable[[str], list[int]]:
    def rank(place: int) -> bytes:
        return seed.rank("throughput", track, str(number), str(place))

    return lambda text: encode(reordered(rank, text))
