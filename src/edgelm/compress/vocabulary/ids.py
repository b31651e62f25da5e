"""The token ids in `config.json` and `generation_config.json`: which there are, and the same under new numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ENDINGS = ("_token_id", "_token_ids")
_LISTS = ("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "force_words_ids", "stop_words_ids")
_BIAS = "sequence_bias"  # pairs of a list of ids and a number that is no id
NewIds = Mapping[int, int]  # ρ: the new id of each old one that is kept


def ids_in(config: Mapping[str, Any]) -> dict[str, set[int]]:
    """All ids that a configuration names, by key."""
    found = {key: set(_flat(value)) for key, value in config.items() if _names_ids(key)}
    if isinstance(biases := config.get(_BIAS), list):
        found[_BIAS] = {token for ids, _ in biases for token in _flat(ids)}
    return {key: ids for key, ids in found.items() if ids}


def renumbered(config: Mapping[str, Any], new_ids: NewIds) -> dict[str, Any]:
    """The configuration with new ids. An id without a new one becomes None; in a list, it or its sequence is left out.

    A negative number, by which some say that there is none, stays.
    """
    changed = {key: _new(value, new_ids) if _names_ids(key) else value for key, value in config.items()}
    if isinstance(biases := config.get(_BIAS), list):
        pairs = [(_sequence(ids, new_ids), bias) for ids, bias in biases]
        changed[_BIAS] = [[ids, bias] for ids, bias in pairs if ids is not None]
    return changed


def _names_ids(key: str) -> bool:
    return key.endswith(_ENDINGS) or key in _LISTS


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _flat(value: object) -> Iterator[int]:
    if isinstance(value, list):
        for part in value:
            yield from _flat(part)
    elif isinstance(value, int) and _is_id(value):
        yield value


def _new(value: Any, new_ids: NewIds) -> Any:
    """One id, some to choose from, or some sequences."""
    if isinstance(value, list):
        found = [_sequence(part, new_ids) if isinstance(part, list) else _new(part, new_ids) for part in value]
        return [part for part in found if part is not None]
    return new_ids.get(value) if _is_id(value) else value


def _sequence(ids: list[Any], new_ids: NewIds) -> list[Any] | None:
    """The ids of a sequence; none if it holds one that is gone, since then it cannot occur."""
    if any(isinstance(part, list) for part in ids):  # sequences to choose from
        return _new(ids, new_ids)
    found = [_new(part, new_ids) for part in ids]
    return None if None in found else found
