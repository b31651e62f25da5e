"""What nobody is shown in any answer, in any state of the board; and what only some are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from edgelm.server.tables import Audit
from edgelm.server.web import HEADERS

from .conftest import ASKERS, PEOPLE, SCORE, STATES, MakeWorld, World
from .page_calls import PAGES
from .things import CANARY, EVIDENCE, MARK, RUNNING, WAITING
from .walk import Seen, read_all, walk

REVIEWERS = ("reviewer", "organiser", "admin", "stale", "organise")
TEAM = ("member", "captain", "read", "submit")  # of what is handed in; the scope `team` is for the team alone
_FIGURES = (str(SCORE.numerator), f"{float(SCORE):.2f}")
_PAGE = "text/html"
_FILES = ("text/csv", "application/x-tar", "application/zip", "application/octet-stream")
_CHANGES = tuple(f"/console/boards/{{track}}/{kind}?reason=so" for kind in ("freeze",)) + tuple(
    f"/console/boards/{{track}}/publish?state={state}&reason=so" for state in ("provisional", "final")
)


@pytest.fixture(scope="module", params=STATES)
def seen(request: pytest.FixtureRequest, make_world: MakeWorld) -> tuple[str, list[Seen]]:
    """A state, and all answers in it."""
    return request.param, walk(make_world(request.param))


def _told(answers: list[Seen], *words: str) -> set[tuple[str, str]]:
    """To whom any of the words was told, by what."""
    return {(each.path, each.asker) for each in answers if any(word in each.text for word in words)}


def test_no_answer_is_a_fault(seen: Any) -> None:
    assert [(each.path, each.asker, each.text) for each in seen[1] if each.status >= 500] == []


def test_answers_to_hold_outs_are_nobodys(seen: Any) -> None:
    state, answers = seen
    assert _told(answers, CANARY) == set()
    bundles = [each for each in answers if each.path.endswith("/bundle") and each.kind == "application/x-tar"]
    assert (state == "final") is bool(bundles), "the bundle is looked at"


def test_code_is_for_all_once_the_board_is_final_and_its_teams_before(seen: Any) -> None:
    state, answers = seen
    own = {"member", "captain", "read", *REVIEWERS}
    had = {each.asker for each in answers if each.path == "/results/{submission}/code" and each.status == 200}
    assert had == (set(ASKERS) - {"submit", "team"} if state == "final" else own)  # tokens that read nothing
    listed = {
        each.asker for each in answers if each.path == "/results/{submission}" and "source/weights.py" in each.text
    }
    assert listed == had


def test_figures_of_hold_outs_are_for_all_or_for_nobody(seen: Any) -> None:
    state, answers = seen
    told = _told(answers, *_FIGURES)
    if state in ("live", "frozen"):
        assert told == set()
    else:
        assert {asker for path, asker in told if path == "/board/{track}"} > {"visitor", "alone", "outsider"}


def test_evidence_is_for_reviewers(seen: Any) -> None:
    assert {asker for _, asker in _told(seen[1], EVIDENCE)} == set(REVIEWERS)


def test_what_a_team_hands_in_is_its_own_while_it_is_evaluated(seen: Any) -> None:
    assert {asker for _, asker in _told(seen[1], RUNNING, WAITING)} <= {*TEAM, *REVIEWERS, "team"}
    assert {asker for _, asker in _told(seen[1], RUNNING)} >= {*TEAM, *REVIEWERS}


def test_addresses_are_for_the_team_and_for_those_who_run_the_competition(seen: Any) -> None:
    for name in PEOPLE:
        invited = name == "alone"  # by red, which is who gave the address
        mates = {"captain", "member", "read", "team"} if PEOPLE[name][1] == "red" or invited else set()
        own = {"read", "team"} if name == "captain" else {"organise"} if name == "organiser" else set()
        told = {asker for _, asker in _told(seen[1], f"{name}@e.org")}
        assert told <= {name, *own, *mates, *REVIEWERS}, name


def test_secrets_are_not_told(seen: Any, make_world: MakeWorld) -> None:
    state, answers = seen
    known = make_world(state).known
    keys = [headers["Authorization"].split()[1] for headers in known.values() if "Authorization" in headers]
    cookies = [headers["Cookie"].partition("=")[2] for headers in known.values() if "Cookie" in headers]
    assert _told(answers, "$argon2", "s" * 43, *keys, *cookies) == set()
    for name, headers in known.items():
        if "X-CSRF-Token" in headers and name in ASKERS:
            assert {asker for _, asker in _told(answers, headers["X-CSRF-Token"])} == {name}


def test_reading_changes_nothing_but_that_an_export_is_logged(world: World) -> None:
    world.restore()
    with world.server.database.read() as session:
        before = session.query(Audit).count()
    assert list(read_all(world, ("captain", "admin")))
    with world.server.database.read() as session:
        logged = [entry.action for entry in session.query(Audit).order_by(Audit.number)]
    assert logged[before:] == ["export"]


def test_browsers_are_told_what_to_obey(seen: Any) -> None:
    for each in seen[1]:
        for name, value in HEADERS.items():
            if name != "Cache-Control":
                assert each.headers.get(name) == value, (each.path, each.asker, name)


def test_only_what_is_shown_to_all_is_kept_by_others(seen: Any) -> None:
    to_all = {(each.path, each.data) for each in seen[1] if each.asker == "visitor" and each.status == 200}
    kept = [each for each in seen[1] if each.headers["Cache-Control"] != "no-store" and each.status == 200]
    assert {(each.path, each.data) for each in kept} <= to_all
    assert {each.path for each in kept} >= {"/static/{name}", "/rules/{digest}"}


def test_only_pages_are_html_and_files_are_attachments(seen: Any) -> None:
    pages = {name.split()[1] for name in PAGES}
    for each in seen[1]:
        if each.kind == _PAGE:
            assert each.path.partition("?")[0].replace("{running}", "{submission}") in pages or each.path in _CHANGES
        elif each.status == 200 and each.kind in (
            "text/csv",
            "application/x-tar",
            "application/zip",
            "application/octet-stream",
        ):
            told = each.headers.get("Content-Disposition", "")
            assert told.startswith("attachment") or each.path.startswith("/jobs/"), each.path


def test_what_strangers_wrote_is_text_on_every_page(seen: Any) -> None:
    pages = [each for each in seen[1] if each.kind == _PAGE]
    assert {each.path for each in pages if "&lt;script&gt;alert(" in each.text} >= {
        "/", "/team", "/account", "/submission/{submission}", "/result/{submission}", "/board/{track}",
        "/console/queue", "/console/reviews", "/console/submissions",
    }  # fmt: skip
    assert [(each.path, each.asker) for each in pages if MARK in each.text] == []


def test_pages_have_no_script_or_style_of_their_own(seen: Any) -> None:
    inline = re.compile(r"<script(?![^>]*\bsrc=)|<[^>]+\son[a-z]+\s*=|<[^>]+\sstyle\s*=|<style|javascript:", re.I)
    for each in seen[1]:
        if each.kind == _PAGE:
            assert not inline.search(each.text), (each.path, each.asker, inline.search(each.text))
