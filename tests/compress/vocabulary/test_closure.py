from __future__ import annotations

from itertools import pairwise
from typing import Any

from edgelm.compress.vocabulary.byte_bpe import ByteBpe, byte_bpe
from edgelm.compress.vocabulary.closure import Closure


def on_the_way(bpe: ByteBpe, text: str) -> tuple[set[str], list[str]]:
    """All pieces that merging ever makes of a token's characters, and those that are left, by the plain procedure."""
    ranks = {merge: rank for rank, merge in enumerate(bpe.merges)}
    pieces = list(text)
    seen = set(pieces)
    while possible := [(ranks[two], at) for at, two in enumerate(pairwise(pieces)) if two in ranks]:
        _, at = min(possible)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        seen.add(pieces[at])
    return seen, pieces


def test_all_intermediate_tokens_are_found(tokenizer: dict[str, Any]) -> None:
    bpe = byte_bpe(tokenizer)
    closure = Closure(bpe)
    reached = 0
    for text, token in bpe.ids.items():
        seen, left = on_the_way(bpe, text)
        reached += left == [text]
        expected = {bpe.ids[piece] for piece in seen} if left == [text] else {token}
        assert closure.missing(token, set()) == expected
    assert reached == 800


def test_what_is_kept_is_not_looked_into(tokenizer: dict[str, Any]) -> None:
    bpe = byte_bpe(tokenizer)
    closure = Closure(bpe)
    token = bpe.ids["Ġother"]
    whole = closure.missing(token, set())
    left, right = closure.parts(token)
    assert {token, left, right} <= whole
    assert closure.missing(token, whole) == set()
    assert closure.missing(token, whole - {token}) == {token}
    assert closure.parts(bpe.ids["a"]) == ()


def test_a_token_that_merges_do_not_make_stands_alone() -> None:
    ids = {text: token for token, text in enumerate(["a", "b", "c", "ab", "bc", "abc"])}
    bpe = ByteBpe(ids, [("a", "b"), ("b", "c"), ("a", "bc")], {})  # abc becomes ab, c
    assert Closure(bpe).missing(ids["abc"], set()) == {ids["abc"]}
    assert Closure(bpe).missing(ids["bc"], set()) == {ids["b"], ids["c"], ids["bc"]}


def test_equal_merges_go_from_the_left() -> None:
    ids = {text: token for token, text in enumerate(["a", "aa", "aaa", "aaaa"])}
    closure = Closure(ByteBpe(ids, [("a", "a"), ("aa", "a"), ("aa", "aa")], {}))
    assert closure.parts(ids["aaa"]) == (ids["aa"], ids["a"])
    assert closure.missing(ids["aaaa"], set()) == {ids["a"], ids["aa"], ids["aaaa"]}
