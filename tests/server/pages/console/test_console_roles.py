"""What holds for every page of the console: for whom it is there, its texts, its labels, and no fault by any form."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from edgelm.server import pages
from edgelm.server.access import LADDER

from ...conftest import ON_SLOW_POSTGRESQL
from ..conftest import EVIL
from ..test_pages import Inline

TEMPLATES = sorted((Path(pages.__file__).parent / "templates" / "console").glob("*.jinja"))
PAGES = {  # by path, for whom it is at least
    "/console": "reviewer", "/console/reviews": "reviewer", "/console/reviews?state=cleared": "reviewer",
    "/console/reviews/{one}": "reviewer", "/console/reviews/{other}": "reviewer", "/console/submissions": "reviewer",
    "/console/submissions?state=scored&track=compression&team=blue": "reviewer",
    "/console/submissions/{one}": "organiser", "/console/submissions/{next}": "organiser",
    "/console/queue": "organiser", "/console/queue/{failed}": "organiser", "/console/queue/{waiting}": "organiser",
    "/console/boards": "organiser", "/console/boards/compression/void": "organiser",
    "/console/boards/compression/disqualify?submission={one}": "organiser",
    "/console/decisions/{proposal}": "organiser", "/console/appeals": "organiser",
    "/console/stage2": "organiser", "/console/stage2/compression": "organiser",
    "/console/competition": "organiser", "/console/audit": "organiser",
    "/console/audit?action=slot.": "organiser", "/console/admin": "organiser",
    "/console/admin/users/{person}": "admin",
}  # fmt: skip


def addresses(busy: Any) -> dict[str, str]:
    found = {"failed": busy.job(busy.lost), "waiting": busy.job(busy.next), **vars(busy)}
    return {path.format_map(found): role for path, role in PAGES.items()}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_what_the_policy_forbids(path: Path) -> None:
    text = path.read_text()
    assert not Inline(re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", text, flags=re.DOTALL)).found
    assert "|safe" not in text


@pytest.mark.parametrize("role", ["visitor", *LADDER])
def test_every_page_is_there_for_whom_it_is(busy: Any, role: Any) -> None:
    browser = busy.site.visitor() if role == "visitor" else busy.user("eve", role)
    for path, least in addresses(busy).items():
        answer = browser.get(path)
        if role == "visitor":
            assert answer.url.path == "/login" and answer.url.params["next"] == path, path
        elif LADDER.index(role) >= LADDER.index(least):
            assert answer.status_code == 200, (path, answer.text)
        else:
            assert answer.status_code == 404 and "no such page" in answer.text, path


def test_who_has_no_one_time_passwords_yet_is_told_so(busy: Any) -> None:
    eve = busy.user("eve", "organiser")
    object.__setattr__(busy.server.settings, "second_factor", True)
    answer = eve.get("/console/queue")
    assert answer.status_code == 403 and "one-time passwords" in answer.text
    assert 'href="/account#one-time-passwords"' in answer.text and 'id="one-time-passwords"' in eve.get("/account").text


def test_reviewers_see_no_way_to_where_they_may_not_go(busy: Any) -> None:
    rita = busy.user("rita", "reviewer")
    for path, least in addresses(busy).items():
        if least == "reviewer":
            rita.get(path)
            for link in set(re.findall(r'href="(/console[^"#]*)', rita.text)):
                assert rita.http.get(link.replace("&amp;", "&")).status_code == 200, (path, link)


def test_texts_of_strangers_are_texts(busy: Any) -> None:
    eve = busy.user("eve", "admin")
    for path in addresses(busy):
        answer, text = eve.get(path), eve.text
        assert answer.status_code == 200, path
        assert EVIL not in text and not Inline(text).found, path
        assert text.count("<script") == text.count("<script src="), path
    for path in ("/console", "/console/queue", "/console/reviews", "/console/appeals", "/console/competition"):
        assert "&lt;script&gt;" in eve.get(path).text, path


def test_every_label_has_its_field_and_every_id_is_one(busy: Any) -> None:
    eve = busy.user("eve", "admin")
    for path in addresses(busy):
        text = eve.get(path).text
        ids = re.findall(r'\sid="([^"]+)"', text)
        assert len(ids) == len(set(ids)), path
        assert set(re.findall(r'(?:for|aria-describedby|aria-labelledby)="([^"]+)"', text)) <= set(ids), path
        assert len(re.findall("<h1", text)) == 1, path


def posts() -> list[str]:
    modules = [import_module(f"{pages.__name__}.{each.name}") for each in pkgutil.iter_modules(pages.__path__)
               if each.name.startswith("console")]  # fmt: skip
    return [route.path for module in modules for route in module.router.routes if "POST" in route.methods]


def test_forms_of_the_console_are_nobody_elses(busy: Any) -> None:
    assert len(posts()) > 30
    browsers = {
        "visitor": busy.site.visitor(),
        "participant": busy.user("eve"),
        "reviewer": busy.user("rita", "reviewer"),
    }
    for role, browser in browsers.items():
        csrf = ""
        if role != "visitor":
            browser.get("/account")
            csrf = browser.forms["/logout/form"]["csrf"][0]
        for path in posts():
            to = re.sub(r"\{[^}]+\}", "0" * 16, path)
            answer = browser.http.post(to, data={"csrf": csrf, "reason": "x"}, follow_redirects=False)
            assert answer.status_code in ((401,) if role == "visitor" else (404, 422)), (role, to, answer.text)
            if role == "reviewer" and not to.startswith("/console/reviews"):
                assert answer.status_code == 404 and "no such page" in answer.text, to


@pytest.mark.parametrize("arena", ["sqlite", ON_SLOW_POSTGRESQL], indirect=True)
@pytest.mark.parametrize("text", ["", "\0", "\ufffe\u202e", "x" * 20_000, EVIL, "-1"])
def test_no_form_makes_a_fault(busy: Any, text: str) -> None:
    eve = busy.user("eve", "admin")
    eve.get("/account")
    csrf = eve.forms["/logout/form"]["csrf"][0]
    names = {"reason", "priority", "offence", "evidence", "track", "task", "state", "submission", "decision", "name",
             "kind", "opens", "closes", "rules", "team", "phase", "title", "body", "seed", "event", "tags", "url",
             "role", "agreement", "self_agreement", "throughput", "peaks.base", "checkpoints.base",
             "tasks.gsm8k.score"}  # fmt: skip
    known = {"{submission}": busy.one, "{job}": busy.job(busy.lost), "{decision}": busy.proposal,
             "{track}": "compression", "{kind}": "disqualify", "{appeal}": busy.appeal, "{team}": "blue",
             "{user_id}": busy.person, "{name}": "gpu-1", "{webhook_id}": busy.webhook}  # fmt: skip
    for path in posts():
        to = re.sub(r"\{[^}]+\}", lambda found: known[found[0]], path)
        answer = eve.http.post(to, data={**dict.fromkeys(names, text), "csrf": csrf}, follow_redirects=False)
        assert answer.status_code < 500, (to, answer.text)
    for kind in ("void", "lift", "disqualify", "reinstate", "rescore", "freeze", "publish", "nothing"):
        asked = dict.fromkeys(("submission", "offence", "evidence", "task", "state", "reason"), text)
        for to in (f"/console/boards/compression/{kind}", f"/console/boards/compression/{kind}/preview"):
            assert eve.http.post(to, data={**asked, "csrf": csrf}).status_code < 500, to
        assert eve.http.get(f"/console/boards/compression/{kind}", params={"task": text[:150]}).status_code < 500, kind
    for path in ("/console/audit", "/console/submissions"):
        asked = dict.fromkeys(("actor", "action", "object", "team", "state", "track"), text[:150])
        assert eve.http.get(path, params=asked).status_code < 500, path
