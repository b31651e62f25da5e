"""Which fields everybody sees of what: every answer, in every state of the board, against one written table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import ASKERS, STATES, MakeWorld
from .fields import FIELDS, ONCE, ONLY
from .walk import Seen, walk

_PUBLIC = ("/rules", "/rules/{digest}", "/openapi.json")  # documents of a shape of their own
_FREE = ("parts", "models", "memory", "subsets", "evidence", "body", "claims", "settings", "tasks")
_HOLD_OUTS = ("secret", "holdout")


@pytest.fixture(scope="session")
def shown(make_world: MakeWorld) -> dict[str, list[Seen]]:
    """All answers, by the state of the board."""
    return {state: walk(make_world(state)) for state in STATES}


def _fields(value: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of an answer with what is in them; names that are data are `*`, or HIDDEN where that is a hold-out."""
    if isinstance(value, list):
        for each in value:
            yield from _fields(each, above)
    elif isinstance(value, dict):
        free = above.rpartition(".")[2] in _FREE
        for name, inner in value.items():
            called = ("HIDDEN" if name in _HOLD_OUTS else "*") if free else name
            yield from _fields(inner, f"{above}.{called}" if above else called)
    elif above:
        yield above, value


def _of(shown: dict[str, list[Seen]]) -> Iterator[tuple[str, Seen, str, Any]]:
    for state, answers in shown.items():
        for each in answers:
            path = each.path.partition("?")[0]
            if each.body is not None and path not in _PUBLIC:
                for field, value in _fields(each.body):
                    yield state, each, f"{path.replace('{running}', '{submission}')} {field}", value


def test_there_are_no_fields_but_those_of_the_table(shown: dict[str, list[Seen]]) -> None:
    table = {f"{path} {field}" for path, fields in FIELDS.items() for field in fields.split()}
    assert {field for _, _, field, _ in _of(shown)} == table


def test_who_sees_what_is_not_for_all_who_see_the_rest(shown: dict[str, list[Seen]]) -> None:
    seen = defaultdict(set)
    for state, each, field, value in _of(shown):
        if field in ONLY and value is not None:
            seen[field].add((state, each.asker))
    assert {field: sorted(pairs) for field, pairs in seen.items()} == {
        field: sorted((state, asker) for state in states.split()
                      for asker in (ASKERS if askers == "all" else askers.split()))
        for field, (states, askers) in ONLY.items()
    }  # fmt: skip


def test_secrets_are_shown_once_and_never_read_again(shown: dict[str, list[Seen]]) -> None:
    secrets = [(field, value) for _, _, field, value in _of(shown) if field in ONCE]
    assert {field for field, _ in secrets} == set(ONCE)
    assert not any(value for _, value in secrets)
