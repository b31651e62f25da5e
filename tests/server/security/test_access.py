"""Who may do what: every call and every page, by everybody who may ask, against two written tables."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from edgelm.server import api, pages

from .calls import CALLS
from .conftest import ASKERS, World
from .page_calls import PAGES
from .rows import RULES, STATUS, Row
from .things import manifest_of


def _routes(package: Any) -> Iterator[str]:
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            for route in import_module(f"{package.__name__}.{module.name}").router.routes:
                yield from (f"{method} {route.path}" for method in route.methods)


@pytest.mark.parametrize(("package", "table"), [(api, CALLS), (pages, PAGES)])
def test_every_call_stands_in_a_table(package: Any, table: dict[str, Row], world: World) -> None:
    assert set(_routes(package)) == set(table)


def test_there_are_no_calls_but_those_and_their_description(world: World) -> None:
    found = {getattr(route, "path", "") for route in world.client.app.routes}  # type: ignore[attr-defined]
    described = {row.split()[1] for row in (*CALLS, *PAGES)}
    assert found - described <= {"/openapi.json", ""}


@pytest.mark.parametrize("endpoint", CALLS)
def test_a_call(endpoint: str, world: World) -> None:
    assert _answers(world, endpoint, CALLS[endpoint]) == CALLS[endpoint].expected


@pytest.mark.parametrize("endpoint", PAGES)
def test_a_page(endpoint: str, world: World) -> None:
    assert _answers(world, endpoint, PAGES[endpoint], form=True) == PAGES[endpoint].expected


def _answers(world: World, endpoint: str, row: Row, *, form: bool = False) -> str:
    """The signs of the answers, asker by asker; an odd status stands as it is."""
    method, path = endpoint.split()
    if path.startswith("/jobs/{job_id}/") and method != "POST":
        path += "?fence=1&offset=0&size=7"
    names = {name: value.format_map(world.names) for name, value in row.names.items()}
    signs = ""
    for asker in ASKERS:
        answer = world.ask(asker, method, path, _body(world, row.body, asker, form and method == "POST"), **names)
        signs += next((sign for sign, codes in STATUS.items() if answer.status_code in codes), str(answer.status_code))
        if answer.status_code < 400 and method not in ("GET", "HEAD", "OPTIONS"):
            world.restore()
        if answer.status_code >= 400 and answer.headers["content-type"] == "application/json" and method != "HEAD":
            assert answer.json().keys() == {"code", "what", "why", "mend"}
    return signs


def _body(world: World, body: Any, asker: str, form: bool) -> Any:
    if body is manifest_of:
        return manifest_of(world.server)
    if form:
        body = {name: "true" if value is True else value for name, value in (body or {}).items() if value is not False}
        if "rules" in body:
            body = {**body, "rules": json.dumps(RULES["rules"])}
        return tuple((name, value.replace("ASKER", asker) if isinstance(value, str) else value)
                     for name, value in body.items())  # fmt: skip
    if isinstance(body, dict):
        return json.loads(json.dumps(body).replace("ASKER", asker))
    return body
