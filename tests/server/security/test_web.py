"""What sites, forms, links and programs of strangers try at the web server: each is refused or does nothing."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from edgelm.server.app import create_app
from edgelm.server.keys import TOKEN, digest
from edgelm.server.rates import Rates
from edgelm.server.tables import Audit, Login, Token, User

from .calls import CALLS
from .conftest import PASSWORD, World
from .page_calls import PAGES
from .things import ID, RUNNING

JSON, PLAIN = {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}
HTML = {"Accept": "text/html"}


@pytest.fixture(autouse=True)
def unchanged(world: World) -> Iterator[None]:
    """Every test finds the world as it was."""
    world.restore()
    yield
    world.restore()


def _send(world: World, method: str, path: str, known: dict[str, str], **more: Any) -> Any:
    world.client.cookies.clear()
    headers = {**known, **more.pop("headers", {})}
    return world.client.request(method, path, headers=headers, follow_redirects=False, **more)


def _entries(world: World) -> int:
    with world.server.database.read() as session:
        return session.query(Audit).count()


# Other sites


CHANGES = [name.split()[1] for table in (CALLS, PAGES) for name in table if name.startswith("POST ")]


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_that_another_site_sends_with_our_cookie(path: str, world: World) -> None:
    cookie = {"Cookie": world.known["admin"]["Cookie"]}
    where, before = path.format_map(world.names), _entries(world)
    for sent in ({"data": {"reason": "so"}}, {"files": {"archive": b"x"}}, {"content": b"{}", "headers": PLAIN}):
        answer = _send(world, "POST", where, cookie, **sent)
        assert answer.status_code == (422 if path == "/login" else 403), (sent, answer.text)  # it takes JSON alone
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert _send(world, "POST", where, world.known["admin"], headers=foreign, json={}).status_code == 403
    assert _entries(world) == before


def test_a_csrf_token_of_somebody_else_is_none(world: World) -> None:
    mixed = {"Cookie": world.known["captain"]["Cookie"], "X-CSRF-Token": world.known["outsider"]["X-CSRF-Token"]}
    assert _send(world, "POST", "/logout", mixed).status_code == 403


def test_no_other_site_may_read_or_frame(world: World) -> None:
    for method in ("GET", "OPTIONS"):
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
        headers = _send(world, method, "/me", world.known["captain"], headers=asked).headers
        assert not [name for name in headers if name.startswith("access-control-")]
        assert headers["X-Frame-Options"] == "DENY" and headers["Cross-Origin-Resource-Policy"] == "same-origin"


# Where answers lead


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("GET ")])
def test_no_page_leads_to_the_host_that_a_request_names(name: str, world: World) -> None:
    given = {key: value.format_map(world.names) for key, value in PAGES[name].names.items()}
    path = name.split()[1].format_map({**world.names, **given})
    for asker in ("visitor", "captain", "admin"):
        foreign = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", **HTML}
        answer = _send(world, "GET", path, world.known[asker], headers=foreign)
        assert "evil.example" not in answer.text + str(answer.headers)
        if answer.status_code == 303:
            assert answer.headers["location"].startswith(("/login?next=/", "/team"))


@pytest.mark.parametrize("where", [
    "https://evil.example/", "//evil.example", "/\\evil.example", "/%09/evil.example", "\\\\evil.example",
    "javascript:x", "/\t/evil.example", "/x\r\nSet-Cookie: a=b", "http:evil.example",
])  # fmt: skip
def test_next_is_a_page_of_ours(where: str, world: World) -> None:
    for page in ("/login", "/register"):
        shown = _send(world, "GET", page, {}, params={"next": where}, headers=HTML).text
        assert 'href="http' not in shown and 'value="//' not in shown and "evil.example/" not in shown
    form = {"email": "captain@e.org", "password": PASSWORD, "next": where}
    answer = _send(world, "POST", "/login/form", {}, data=form)
    location = answer.headers["location"]
    assert answer.status_code == 303 and location.startswith("/") and not location.startswith(("//", "/\\", "/\t"))
    assert "a=b" not in str(answer.headers)


# Logins and tokens


def test_a_cookie_that_was_planted_before_the_login_is_worth_nothing_after_it(world: World) -> None:
    planted = {"Cookie": "edgelm=planted"}
    answer = _send(world, "POST", "/login", planted, json={"email": "captain@e.org", "password": PASSWORD})
    given = answer.headers["set-cookie"].partition(";")[0]
    assert answer.status_code == 200 and given != "edgelm=planted"
    assert _send(world, "GET", "/me", planted).status_code == 401
    assert _send(world, "GET", "/me", {"Cookie": given}).status_code == 200
    assert _send(world, "GET", "/me", world.known["captain"]).status_code == 200, "other browsers stay logged in"


@pytest.mark.parametrize("path", ["/logout", "/logout/form"])
def test_a_logout_ends_the_login_and_leaves_nothing_in_the_browser(path: str, world: World) -> None:
    answer = _send(world, "POST", path, world.known["captain"])
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert _send(world, "GET", "/me", world.known["captain"]).status_code == 401


@pytest.mark.parametrize(("url", "secure"), [("http://127.0.0.1:8000", False), ("https://board.example.org", True)])
def test_cookies_are_kept_from_scripts_and_other_sites(url: str, secure: bool, world: World) -> None:
    settings = world.server.settings.model_copy(update={"public_url": url})
    client = TestClient(create_app(dataclasses.replace(world.server, settings=settings)), follow_redirects=False)
    answer = client.post("/login/form", data={"email": "captain@e.org", "password": PASSWORD})
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2  # of the login, and of what the next page says
    for cookie in cookies:
        attributes = {each.strip().lower() for each in cookie.split(";")[1:]}
        assert {"httponly", "samesite=lax", "path=/"} <= attributes
        assert ("secure" in attributes) is secure and not any(each.startswith("domain") for each in attributes)
    assert all(cookie.startswith("__Host-edgelm") for cookie in cookies) is secure
    assert ("Strict-Transport-Security" in answer.headers) is secure


@pytest.mark.parametrize("ended", ["run out", "taken back", "owner shut out", "made up", "as a cookie", "a worker's"])
def test_a_token_that_is_not_good(ended: str, world: World) -> None:
    known = dict(world.known["read"])
    if ended == "made up":
        known = {"Authorization": f"Bearer {TOKEN}{'x' * 43}"}
    elif ended == "as a cookie":
        known = {"Cookie": f"edgelm={TOKEN}read"}
    elif ended == "a worker's":
        known = world.known["worker"]
    with world.server.database.write() as session:
        token = session.query(Token).filter_by(sha256=digest(f"{TOKEN}read")).one()
        if ended == "run out":
            token.expires = world.server.clock()
        elif ended == "taken back":
            session.delete(token)
        elif ended == "owner shut out":
            session.get_one(User, "captain").disabled = True
    assert _send(world, "GET", "/me", known).status_code == 401


def test_a_login_that_has_run_out_is_none(world: World) -> None:
    with world.server.database.write() as session:
        for login in session.query(Login):
            login.expires = world.server.clock()
    assert _send(world, "GET", "/me", world.known["captain"]).status_code == 401


def test_a_token_does_what_its_owner_may_do_now(world: World) -> None:
    assert _send(world, "GET", "/admin/queue", world.known["organise"]).status_code == 200
    with world.server.database.write() as session:
        session.get_one(User, "organiser").role = "participant"
    assert _send(world, "GET", "/admin/queue", world.known["organise"]).status_code == 403


# What can be found out by asking


@pytest.mark.parametrize(("path", "there", "never"), [
    ("/submissions/{}", RUNNING, "0" * 16), ("/submissions/{}/log", RUNNING, "0" * 16), ("/teams/{}", "red", "none"),
    ("/submissions/{}/findings", RUNNING, "0" * 16), ("/submissions/{}/events", RUNNING, "0" * 16),
    ("/submissions/{}/appeals", RUNNING, "0" * 16), ("/teams/{}/slots", "red", "none"), ("/uploads/{}", ID, "none"),
    ("/teams/{}/webhooks", "red", "none"), ("/results/{}", RUNNING, "0" * 16), ("/submission/{}", RUNNING, "0" * 16),
    ("/blobs/{}", digest("wanted"), digest("never")), ("/submit/{}", ID, "0" * 16),
])  # fmt: skip
def test_what_is_anothers_looks_as_if_it_were_not_there(path: str, there: str, never: str, world: World) -> None:
    for asker in ("visitor", "alone", "outsider"):
        method = "HEAD" if path.startswith("/blobs") else "GET"
        tus = {"Tus-Resumable": "1.0.0"} if method == "HEAD" else {}
        found, absent = (
            _send(world, method, path.format(each), world.known[asker], headers=tus) for each in (there, never)
        )
        assert (found.status_code, found.text.replace(there, never)) == (absent.status_code, absent.text)
        assert found.status_code in (401, 403, 404)


def test_who_has_an_account_is_not_told(world: World) -> None:
    for path, more in (("/login", {"password": "x" * 12}), ("/forgotten", {}),
                       ("/register", {"name": "x", "password": PASSWORD})):  # fmt: skip
        answers = [_send(world, "POST", path, {}, json={"email": email, **more})
                   for email in ("member@e.org", "nobody@e.org")]  # fmt: skip
        assert answers[0].status_code == answers[1].status_code and answers[0].text == answers[1].text, path


# Limits, and what is not understood


def test_who_changes_too_often_waits(world: World) -> None:
    settings = world.server.settings.model_copy(update={"changes": 3})
    server = dataclasses.replace(world.server, settings=settings, rates=Rates())
    client = TestClient(create_app(server))
    for known in (world.known["captain"], world.known["team"], {}):
        path = "/forgotten" if not known else "/teams"
        answers = [client.post(path, json={}, headers=known) for _ in range(4)]
        refused = [answer.status_code for answer in answers if answer.status_code == 429]
        assert refused and answers[-1].status_code == 429 and int(answers[-1].headers["Retry-After"]) >= 1


def test_a_compressed_body_is_not_unpacked(world: World) -> None:
    packed = gzip.compress(json.dumps({"title": "x", "body": "y" * 2**24}).encode())
    before = _entries(world)
    for encoding in ("gzip", "deflate", "br"):
        answer = _send(world, "POST", "/admin/announcements", world.known["admin"], content=packed,
                       headers={**JSON, "Content-Encoding": encoding})  # fmt: skip
        assert answer.status_code in (400, 422)
    assert _entries(world) == before


@pytest.mark.parametrize("name", [
    "../app.py", "..%2fapp.py", "%2e%2e%2fapp.py", "..\\app.py", "%2e%2e%5capp.py", "/etc/passwd", "style.css",
    "README.md", "....//app.py", "%252e%252e%252fapp.py", "style.css%00.js",
])  # fmt: skip
def test_only_styles_and_scripts_are_read_from_the_disk(name: str, world: World) -> None:
    answer = _send(world, "GET", f"/static/{name}", {})
    assert answer.status_code in (400, 404) and "import" not in answer.text


def test_a_method_is_the_one_that_was_sent(world: World) -> None:
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = _send(world, "POST", f"/teams/red/members/{world.names['user_id']}", world.known["captain"],
                       headers={header: "DELETE"})  # fmt: skip
        assert answer.status_code == 405
        answer = _send(world, "GET", f"/tokens/{ID}?_method=DELETE", world.known["captain"], headers={header: "DELETE"})
        assert answer.status_code == 405
    for method in ("TRACE", "CONNECT", "PROPFIND"):
        assert _send(world, method, "/me", world.known["captain"]).status_code == 405


def test_addresses_that_clients_claim_count_for_nothing(world: World) -> None:
    settings = world.server.settings.model_copy(update={"login_tries": 2})
    client = TestClient(create_app(dataclasses.replace(world.server, settings=settings, rates=Rates())))
    statuses = [client.post("/login", json={"email": f"{number}@e.org", "password": "x"},
                            headers={"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"},
                            ).status_code for number in range(3)]  # fmt: skip
    assert statuses == [401, 401, 429]


# What is refused before any call sees it


@pytest.mark.parametrize(("method", "path", "more", "status"), [
    ("GET", "/board/x%00y", {}, 400),
    ("GET", "/submit?next=%00", {}, 400),
    ("POST", "/login/form", {"headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
    ("POST", "/login/form", {"content": bytes(2**20 + 1)}, 413),
])  # fmt: skip
def test_a_browser_gets_a_page_and_a_program_json(
    method: str, path: str, more: dict[str, Any], status: int, world: World
) -> None:
    for known in ({}, world.known["captain"]):
        headers = more.get("headers", {})
        page = _send(world, method, path, known, **{**more, "headers": {**headers, **HTML}})
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert "<h1>" in page.text and "Content-Security-Policy" in page.headers
        told = _send(world, method, path, known, **more)
        assert told.status_code == status and told.json().keys() == {"code", "what", "why", "mend"}
        assert told.json()["what"].capitalize() in page.text


def test_a_refusal_needs_no_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("", {}, Exception())

    monkeypatch.setattr(type(world.server.database), "read", away)
    answer = _send(world, "GET", "/board/x%00y", {}, headers=HTML)
    assert answer.status_code == 400 and answer.json()["what"] == "a character of the address is not taken"
