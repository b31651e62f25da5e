"""What holds for every page: by role, without inline scripts, with strangers' texts escaped, refusals as pages."""

from __future__ import annotations

import dataclasses
import pkgutil
import re
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from edgelm.files import sha256_file
from edgelm.server import competition, pages
from edgelm.server.audit import SYSTEM
from edgelm.server.pages.assets import address
from edgelm.server.tables import Finding

from ..conftest import ON_SLOW_POSTGRESQL

FOLDER = Path(pages.__file__).parent
TEMPLATES = sorted((FOLDER / "templates").glob("*.jinja"))
EVIL = """<script>alert("x")</script><img src=x onerror='alert(1)'>"""
ONE = "0123456789abcdef"
PUBLIC = ("/", "/dates", "/rule-set", "/board/compression", "/login", "/register", "/forgotten", "/reset?secret=x",
          "/first-admin?secret=x")  # fmt: skip
MEMBERS = ("/team", "/account", "/submit", "/join?team=red&secret=x", f"/submission/{ONE}", f"/submission/{ONE}/live")


class Inline(HTMLParser):
    """What of a page the content security policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given):
            self.found.append(tag)
        self.found += [
            name for name, value in attrs
            if name == "style" or name.startswith("on") or (value or "").startswith("javascript:")
        ]  # fmt: skip


@pytest.fixture
def evil(site: Any) -> Any:
    """A site all of whose texts want to be scripts; its captain's browser is `red`."""
    site.red = site.team("ada", called=EVIL)
    finding = {"code": "PKG-06", "severity": "W", "path": EVIL, "what": EVIL, "why": EVIL, "mend": EVIL,
               "evidence": {EVIL: EVIL}}  # fmt: skip
    site.submission(title=EVIL, findings=(finding,))
    site.move("running", stage=EVIL)
    site.write_log(EVIL)
    site.move("failed", sentence=EVIL, code="x", fault="participant")
    return site


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_what_the_policy_forbids(path: Path) -> None:
    text = path.read_text()
    assert not Inline(re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", text, flags=re.DOTALL)).found
    assert "|safe" not in text


def test_the_policy_stays_and_only_files_of_ours_are_asked_for(site: Any) -> None:
    answer = site.visitor().get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "script-src 'self'; style-src 'self'" in policy and "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert all(path.startswith("/") for path in re.findall(r'(?:src|href)="([^"]+)"', answer.text)
               if not path.startswith("#"))  # fmt: skip


@pytest.mark.parametrize("role", ["visitor", "participant", "reviewer", "organiser", "admin"])
def test_every_page_is_there_for_whom_it_is(evil: Any, role: str) -> None:
    browser = evil.visitor() if role == "visitor" else evil.user("eve", role)
    for path in PUBLIC:
        assert browser.get(path).status_code == 200, path
    for path in MEMBERS:
        answer = browser.get(path)
        if role == "visitor":
            assert answer.url.path == "/login", path
        elif path.startswith("/submission") and role == "participant":
            assert answer.status_code == 404, path  # another team's
        else:
            assert answer.status_code == 200, path
    assert ("/console" in browser.get("/").text) is (role in ("reviewer", "organiser", "admin"))


def test_texts_of_strangers_are_texts(evil: Any) -> None:
    for path in (*PUBLIC, *MEMBERS):
        text = evil.red.get(path).text
        assert EVIL not in text and not Inline(text).found, path
    assert "&lt;script&gt;" in evil.red.get(f"/submission/{ONE}").text
    assert "&lt;script&gt;" in evil.red.get("/team").text


def test_evidence_is_the_reviewers(evil: Any) -> None:
    with evil.server.database.write() as session:
        found = session.query(Finding).one()
        found.body = {**found.body, "severity": "R", "evidence": {"tensor": "layers.0.secret-name"}}
    assert "secret-name" not in evil.red.get(f"/submission/{ONE}").text
    assert "secret-name" in evil.user("eve", "reviewer").get(f"/submission/{ONE}").text


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/nothing", 404), ("GET", "/board/nothing", 404), ("GET", "/result/0000000000000000", 404),
    ("GET", "/result/x", 422), ("POST", "/login", 422), ("GET", "/logout/form", 405), ("GET", "/static/style.css", 404),
    ("GET", "/board/compression?revision=x", 422),
])  # fmt: skip
def test_refusals_are_pages_for_browsers_and_json_for_programs(site: Any, method: str, path: str, status: int) -> None:
    browser = site.visitor()
    shown = browser.http.request(method, path)
    assert shown.status_code == status and shown.text.startswith("<!doctype html>"), shown.text
    assert "Back to the first page" in shown.text and not Inline(shown.text).found
    told = browser.http.request(method, path, headers={"Accept": "application/json"})
    assert told.status_code == status and set(told.json()) == {"code", "what", "why", "mend"}
    for name in set(told.headers) - {"content-length", "content-type"}:
        assert shown.headers[name] == told.headers[name]


def test_a_fault_is_a_page_too(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgelm.server.api.competition.dates", lambda server: 1 / 0)
    answer = site.visitor().get("/dates")
    assert answer.status_code == 500 and "This is a fault of the server" in answer.text
    assert "Content-Security-Policy" in answer.headers


def test_styles_and_scripts_are_kept_for_good_under_names_that_change_with_them(site: Any) -> None:
    browser = site.visitor()
    for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', browser.get("/").text):
        answer = browser.http.get(path)
        assert answer.status_code == 200 and "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["content-type"].split(";")[0] in ("text/css", "text/javascript", "image/svg+xml")
    assert browser.http.get(address("style.css").replace("style.", "style.0")).status_code == 404


def test_htmx_is_the_one_that_the_readme_names() -> None:
    assert sha256_file(FOLDER / "static" / "htmx.min.js") in (FOLDER / "static" / "README.md").read_text()
    assert "Zero-Clause BSD" in (FOLDER / "static" / "htmx.LICENSE").read_text()


def test_every_label_has_its_field_and_every_id_is_one(evil: Any) -> None:
    for path in (*PUBLIC, *MEMBERS):
        text = evil.red.get(path).text
        ids = re.findall(r'\sid="([^"]+)"', text)
        assert len(ids) == len(set(ids)), path
        assert set(re.findall(r'(?:for|aria-describedby|aria-labelledby)="([^"]+)"', text)) <= set(ids), path


@pytest.mark.parametrize("kind", ["sqlite", ON_SLOW_POSTGRESQL])
def test_no_form_makes_a_fault(make_site: Any, clock: Any, request: pytest.FixtureRequest, kind: str) -> None:
    """Whatever is typed into whichever field, on both databases."""
    site = make_site(clock, url=request.getfixturevalue(f"{kind}_url"))
    red = site.team("ada")
    site.submission()
    red.get("/account")
    csrf = red.forms["/logout/form"]["csrf"][0]
    modules = [import_module(f"{pages.__name__}.{each.name}") for each in pkgutil.iter_modules(pages.__path__)]
    routes = [route.path for module in modules for route in getattr(module, "router", APIRouter()).routes
              if "POST" in route.methods and not route.path.startswith("/console")]  # fmt: skip
    assert len(routes) > 20
    names = ["email", "name", "password", "old", "new", "code", "secret", "team", "user", "url", "text", "days", "once",
             "next", "tracks", "scopes", "only_team", "student"]  # fmt: skip
    for path in routes:
        for text in ("", "\0", "\ufffe\u202e", "x" * 20_000, EVIL, "-1"):
            to = path.format(submission=ONE, upload="0" * 16, **dict.fromkeys(
                ("token_id", "invitation_id", "user_id", "webhook_id"), "0" * 64
            )) if "{" in path else path  # fmt: skip
            if to == "/logout/form":
                continue
            answer = red.http.post(to, data={**dict.fromkeys(names, text), "csrf": csrf}, follow_redirects=False)
            assert answer.status_code < 500, (to, text[:20], answer.text)


def test_the_rules_tell_what_changed(site: Any) -> None:
    changed = dataclasses.replace(site.server.rules, submissions=5)
    with site.server.database.write() as session:
        competition.publish_rules(session, SYSTEM, changed, "there is time for more", site.server.clock() + 1)
    text = site.visitor().get("/rule-set").text
    assert "there is time for more" in text and "submissions<small>3 → 5</small>" in text
