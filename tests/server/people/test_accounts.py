"""Accounts: logins, tokens, one-time passwords, roles; what a browser and a program may do with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from limits import RateLimitItemPerHour
from pydantic import SecretStr
from sqlalchemy import select

from edgelm.server import audit, second_factor
from edgelm.server.access import FRESH, Viewer, hold_to_scopes
from edgelm.server.api import accounts as accounts_api
from edgelm.server.keys import digest
from edgelm.server.refusals import Forbidden
from edgelm.server.tables import Audit, Login, Notice, Reset, Token, User, Worker

PASSWORD = "correct horse battery"
RED = {"email": "Red@Example.org", "name": "Red", "password": PASSWORD}


def refusal(answer: Any, status: int) -> dict[str, str]:
    """A refusal of that status, in the one shape."""
    body = answer.json()
    assert answer.status_code == status and body.keys() == {"code", "what", "why", "mend"} and body["what"], body
    return dict(body)


def log_in(site: Any, browser: Any, **more: str) -> Any:
    answer = browser.post("/login", json={"email": "red@example.org", "password": PASSWORD, **more})
    if answer.status_code == 200:
        browser.headers["X-CSRF-Token"] = answer.json()["csrf"]
    return answer


def test_register_log_in_and_out(site: Any) -> None:
    browser = site.browser()
    made = browser.post("/register", json=RED)
    assert made.status_code == 201
    refusal(browser.get("/me"), 401)
    answer = log_in(site, browser)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/" in cookie
    me = browser.get("/me").json()
    assert (me["account"]["email"], me["account"]["role"]) == ("red@example.org", "participant")
    assert me["account"]["name"] == "Red" and me["acting"] == "participant" and me["fresh"] and me["team"] is None
    stolen = dict(browser.cookies)
    assert browser.post("/logout").status_code == 200
    refusal(browser.get("/me"), 401)
    browser.cookies.update(stolen)
    refusal(browser.get("/me"), 401)


def test_secrets_are_kept_by_their_digest_alone(site: Any) -> None:
    browser = site.user("red")
    token = browser.post("/tokens", json={"name": "laptop", "scopes": ["submit"]}).json()["token"]
    cookie = browser.cookies["edgelm"]
    with site.server.database.read() as session:
        kept = [repr({c.name: getattr(row, c.name) for c in table.__table__.columns})
                for table in (User, Login, Token) for row in session.scalars(select(table))]  # fmt: skip
    assert len(kept) == 3 and token.startswith("edgelm_t_")
    assert not any(secret in row for row in kept for secret in (token, cookie, PASSWORD))
    assert "$argon2id$" in kept[0]


def test_a_wrong_password_and_an_unknown_address_are_told_alike(site: Any) -> None:
    site.user("red")
    wrong = site.browser().post("/login", json={"email": "red@example.org", "password": "x" * 12})
    unknown = site.browser().post("/login", json={"email": "blue@example.org", "password": "x" * 12})
    assert refusal(wrong, 401) == refusal(unknown, 401)


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "x" * 257,
        "a" * 256,
        "red@example.org",
        "Red Red Red Red",
        "Password1234",
        "qwertyuiop[]",
        "12.12.2012-12",
    ],
)
def test_passwords_that_are_not_taken(site: Any, password: str) -> None:
    refusal(site.browser().post("/register", json={**RED, "password": password}), 400)


@pytest.mark.parametrize("body", [
    {**RED, "email": "nobody"}, {**RED, "name": " "}, {**RED, "name": "a\u202eb"}, {**RED, "name": "a\0b"},
    {**RED, "role": "admin"}, {"email": "a@b.c"}, [], "text", {**RED, "\ud800": 1}, {**RED, "name": "\ud800"},
])  # fmt: skip
def test_what_is_no_registration(site: Any, body: object) -> None:
    answer = site.browser().post("/register", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert PASSWORD not in str(refusal(answer, 422))


def test_an_address_has_one_account(site: Any) -> None:
    first = site.browser().post("/register", json=RED)
    second = site.browser().post("/register", json={**RED, "email": "red@EXAMPLE.org", "password": "another long one"})
    assert (second.status_code, second.json()) == (first.status_code, first.json()), "it does not tell who is here"
    with site.server.database.read() as session:
        assert session.scalars(select(User)).one().name == "Red"
        assert [notice.target for notice in session.scalars(select(Notice))] == ["red@example.org"]
    assert log_in(site, site.browser()).status_code == 200


def test_who_tries_an_account_in_vain_does_not_shut_its_owner_out(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(network: str, password: str = "guessed in vain") -> int:
        monkeypatch.setattr(accounts_api, "client_of", lambda _: network)
        body = {"email": "red@example.org", "password": password}
        return int(site.browser().post("/login", json=body).status_code)

    site.browser().post("/register", json=RED)
    monkeypatch.setattr(accounts_api, "_FROM_ANY", RateLimitItemPerHour(15))
    assert tried("home", PASSWORD) == 200
    assert [tried("attacker") for _ in range(11)] == [*[401] * 10, 429]
    assert [tried("botnet") for _ in range(6)] == [*[401] * 5, 429], "all strange networks together have so many"
    assert tried("elsewhere", PASSWORD) == 429
    assert tried("home", PASSWORD) == 200, "the owner is let in from where they logged in before"


def test_what_takes_the_same_time_writes_as_much(site: Any) -> None:
    site.browser().post("/register", json=RED)
    written = []
    for email in ("red@example.org", "nobody@example.org"):
        with site.server.database.read() as session:
            before = len(session.scalars(select(Audit)).all())
        assert site.browser().post("/forgotten", json={"email": email}).status_code == 202
        with site.server.database.read() as session:
            written.append(len(session.scalars(select(Audit)).all()) - before)
    assert written == [1, 1]


def test_a_login_is_renewed_and_ends(site: Any, clock: Any) -> None:
    site.user("red")
    browser = site.browser()
    log_in(site, browser)
    first = browser.cookies["edgelm"]
    log_in(site, browser)
    assert browser.cookies["edgelm"] != first
    with site.server.database.read() as session:
        assert len(session.scalars(select(Login)).all()) == 2  # of the fixture, and of this browser
    clock.pass_seconds(FRESH / 1e6)
    assert browser.get("/me").json()["fresh"] is False
    clock.pass_seconds(site.server.settings.login_hours * 3600)
    refusal(browser.get("/me"), 401)


def test_a_browsers_change_needs_its_csrf_token(site: Any) -> None:
    browser, other = site.user("red"), site.user("blue")
    token = {"name": "laptop", "scopes": ["read"]}
    refusal(browser.post("/tokens", json=token, headers={"X-CSRF-Token": other.headers["X-CSRF-Token"]}), 403)
    sent = browser.headers.pop("X-CSRF-Token")
    refusal(browser.post("/tokens", json=token), 403)
    refusal(browser.post("/tokens", data={"csrf": "ü"}), 403)
    typed = {"Content-Type": "multipart/form-data; boundary=x; charset=utf-7"}
    odd = b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n+2AA-\r\n--x--\r\n'  # half of a character
    refusal(browser.post("/tokens", content=odd, headers=typed), 403)
    refusal(browser.post("/tokens", content=b"--y", headers=typed), 400)
    assert browser.post("/tokens", data={"csrf": sent}).status_code == 422  # the form passes; it is no JSON
    assert browser.get("/tokens").json() == []


@pytest.mark.parametrize("site_of", ["cross-site", "same-site"])
def test_what_a_page_of_another_site_sends_is_refused(site: Any, site_of: str) -> None:
    site.user("red")
    body = {"email": "red@example.org", "password": PASSWORD}
    refusal(site.browser().post("/login", json=body, headers={"Sec-Fetch-Site": site_of}), 403)
    assert site.browser().post("/login", json=body, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


# Tokens


def bearer(site: Any, token: str) -> Any:
    program = site.browser()
    program.headers["Authorization"] = f"Bearer {token}"
    return program


def test_a_token_has_its_scopes_its_time_and_its_end(site: Any, clock: Any) -> None:
    browser = site.user("red")
    made = browser.post("/tokens", json={"name": "laptop", "scopes": ["read"], "days": 2}).json()
    program = bearer(site, made["token"])
    assert program.get("/me").json()["scopes"] == ["read"] and program.get("/me").json()["csrf"] is None
    (listed,) = browser.get("/tokens").json()
    assert listed["token"] == "" and listed["used"] == clock.now
    refusal(program.post("/tokens", json={"name": "more", "scopes": ["organise"]}), 403)
    refusal(program.post("/teams", json={}), 403)
    clock.pass_seconds(2 * 86400)
    refusal(program.get("/me"), 401)


def test_a_token_is_taken_back_by_its_owner_alone(site: Any) -> None:
    red, blue = site.user("red"), site.user("blue")
    made = red.post("/tokens", json={"name": "laptop", "scopes": ["read"]}).json()
    refusal(blue.delete(f"/tokens/{made['id']}"), 404)
    assert bearer(site, made["token"]).get("/me").status_code == 200
    assert red.delete(f"/tokens/{made['id']}").status_code == 200
    refusal(bearer(site, made["token"]).get("/me"), 401)


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer edgelm_t_x", "Bearer edgelm_w_x", "Basic eDp5", "x"])
def test_what_is_no_token(site: Any, header: str) -> None:
    refusal(site.browser().get("/me", headers={"Authorization": header}), 401)
    refusal(site.browser().get("/teams", headers={"Authorization": header}), 401)


@pytest.mark.parametrize("body", [
    {"name": "x", "scopes": []}, {"name": "x", "scopes": ["everything"]}, {"name": "x", "scopes": ["read"], "days": 0},
    {"name": "x", "scopes": ["read"], "days": 10**30},
])  # fmt: skip
def test_what_no_token_is_made_of(site: Any, body: dict[str, Any]) -> None:
    answer = site.user("red").post("/tokens", json=body)
    refusal(answer, answer.status_code)
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize(("scope", "passes"), [
    ("read", ""), ("submit", "/uploads /blobs/x /tus /submissions"), ("team", "/teams"), ("organise", "/admin/phases"),
])  # fmt: skip
def test_what_a_tokens_scope_lets_it_change(site: Any, scope: str, passes: str) -> None:
    token = site.user("red").post("/tokens", json={"name": "x", "scopes": [scope]}).json()["token"]
    program = bearer(site, token)
    for path in ("/uploads", "/blobs/x", "/tus", "/submissions", "/teams", "/admin/phases", "/tokens", "/me/password"):
        found = Viewer(scopes=frozenset({scope}))
        if path in passes.split():
            hold_to_scopes(found, "POST", path)
        else:
            with pytest.raises(Forbidden):
                hold_to_scopes(found, "POST", path)
    assert program.get("/me").status_code == (200 if scope in ("read", "organise") else 403)
    uploads = program.get("/submissions").json()  # of nobody: there is no team
    assert ("may not read" in uploads["what"]) == (scope == "team")


def test_a_token_of_an_organiser_acts_as_one_only_with_the_scope(site: Any) -> None:
    browser = site.user("olga", "organiser")
    phase = {"name": "main", "kind": "scored", "opens": "2025-01-01 AoE", "closes": "2025-02-01 AoE", "reason": "first"}
    for scope, status, seen in (("submit", 403, 403), ("read", 403, 403), ("organise", 201, 200)):
        token = browser.post("/tokens", json={"name": "x", "scopes": [scope]}).json()["token"]
        assert bearer(site, token).post("/admin/phases", json=phase).status_code == status
        assert bearer(site, token).get("/teams").status_code == seen


# One-time passwords


def now_code(site: Any, secret: str) -> str:
    return second_factor.code(secret, site.server.clock() // 30_000_000)


def test_the_digits_are_those_of_the_standard() -> None:
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # of RFC 6238, whose eight digits end in these six
    seconds = {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}
    assert {at: second_factor.code(secret, at // 30) for at in seconds} == seconds


def test_one_time_passwords_are_taken_once(site: Any, clock: Any) -> None:
    browser = site.user("red")
    secret = browser.post("/me/second-factor").json()["secret"]
    wrong = f"{(int(now_code(site, secret)) + 1) % 10**6:06}"
    refusal(browser.post("/me/second-factor/confirm", json={"code": wrong}), 400)
    assert log_in(site, site.browser()).status_code == 200  # it does not count yet
    assert browser.post("/me/second-factor/confirm", json={"code": now_code(site, secret)}).status_code == 200
    refusal(log_in(site, site.browser()), 401)
    refusal(log_in(site, site.browser(), code=now_code(site, secret)), 401)  # it was used to confirm
    clock.pass_seconds(30)
    assert log_in(site, site.browser(), code=now_code(site, secret)).status_code == 200
    refusal(log_in(site, site.browser(), code=now_code(site, secret)), 401)
    refusal(browser.post("/me/second-factor"), 409)


def test_who_runs_the_competition_needs_them(site: Any) -> None:
    browser = site.user("olga", "organiser")
    assert browser.get("/admin/workers").status_code == 200
    with site.server.database.write() as session:
        session.get(User, browser.id).second_step = 0
    assert "one-time" in refusal(browser.get("/admin/workers"), 403)["why"]
    assert browser.get("/me").json()["acting"] == "participant"
    refusal(
        browser.post("/teams", json={"name": "x", "tracks": ["compression"], "only_team": True, "student": False}), 403
    )
    lenient = site.with_settings(second_factor=False).again(browser.id)
    assert lenient.get("/admin/workers").status_code == 200


# Administration


def test_the_first_administrator_comes_by_the_link_once(site: Any) -> None:
    body = {**RED, "secret": "the link"}
    refusal(site.browser().post("/first-admin", json=body), 404)  # no secret is set
    site = site.with_settings(first_admin=SecretStr("the link"))
    refusal(site.browser().post("/first-admin", json={**body, "secret": "another"}), 404)
    assert site.browser().post("/first-admin", json=body).json()["role"] == "admin"
    refusal(site.browser().post("/first-admin", json={**body, "email": "blue@example.org"}), 404)


def test_roles_change_logins_end_and_an_administrator_is_left(site: Any) -> None:
    admin, red = site.user("ada", "admin"), site.user("red")
    url = f"/admin/users/{red.id}/role"
    changed = admin.post(url, json={"role": "reviewer", "reason": "helps"})
    assert changed.json()["role"] == "reviewer"
    refusal(red.get("/me"), 401)
    refusal(admin.post(f"/admin/users/{admin.id}/role", json={"role": "organiser", "reason": "enough"}), 409)
    refusal(admin.post(f"/admin/users/{admin.id}/disable", json={"reason": "enough"}), 409)
    refusal(admin.post("/admin/users/nobody/role", json={"role": "reviewer", "reason": "x"}), 404)
    _, captain = site.team("green", "gus")
    refusal(admin.post(f"/admin/users/{captain.id}/role", json={"role": "organiser", "reason": "x"}), 409)


def test_who_is_shut_out_is_out_at_once(site: Any) -> None:
    admin, red = site.user("ada", "admin"), site.user("red")
    token = red.post("/tokens", json={"name": "x", "scopes": ["read"]}).json()["token"]
    assert admin.post(f"/admin/users/{red.id}/disable", json={"reason": "spam"}).json()["disabled"]
    refusal(red.get("/me"), 401)
    refusal(bearer(site, token).get("/me"), 401)
    refusal(log_in(site, site.browser()), 401)
    admin.post(f"/admin/users/{red.id}/enable", json={"reason": "a mistake"})
    assert log_in(site, site.browser()).status_code == 200


def test_administration_needs_a_fresh_login(site: Any, clock: Any) -> None:
    admin, red = site.user("ada", "admin"), site.user("red")
    clock.pass_seconds(FRESH / 1e6)
    assert admin.get("/admin/users").status_code == 200
    refusal(admin.post(f"/admin/users/{red.id}/disable", json={"reason": "spam"}), 401)


def test_a_workers_key_is_renewed_and_ends(site: Any) -> None:
    admin = site.user("ada", "admin")
    keys = [admin.post("/admin/workers", json={"name": "gpu-1", "tags": ["gpu"]}).json()["key"] for _ in range(2)]
    assert bearer(site, keys[0]).get("/teams").status_code == 401
    assert bearer(site, keys[1]).get("/teams").status_code == 403  # known, but it is for reviewers
    assert admin.get("/admin/workers").json()[0]["key"] == ""
    admin.delete("/admin/workers/gpu-1")
    assert bearer(site, keys[1]).get("/teams").status_code == 401
    with site.server.database.read() as session:
        assert session.get(Worker, "gpu-1").disabled


def test_a_password_is_changed_and_other_logins_end(site: Any) -> None:
    red = site.user("red")
    other = site.again(red.id)
    new = "another horse battery"
    refusal(red.post("/me/password", json={"old": "x", "new": new}), 401)
    assert red.post("/me/password", json={"old": PASSWORD, "new": new}).status_code == 200
    assert red.get("/me").status_code == 200
    refusal(other.get("/me"), 401)
    refusal(log_in(site, site.browser()), 401)
    with site.server.database.read() as session:
        told = {(notice.channel, notice.target) for notice in session.scalars(select(Notice))}
    assert told == {("page", red.id), ("mail", "red@example.org")}


def test_a_forgotten_password_is_set_anew_by_a_link_once(site: Any, clock: Any) -> None:
    red, stranger = site.user("red"), site.browser()
    token = red.post("/tokens", json={"name": "old", "scopes": ["read"]}).json()["token"]
    asked = [stranger.post("/forgotten", json={"email": f"{name}@example.org"}) for name in ("Red", "blue")]
    assert [(answer.status_code, answer.json()) for answer in asked] == [(202, {"done": True})] * 2
    with site.server.database.read() as session:
        (mail,) = session.scalars(select(Notice))
        secret = mail.link.partition("secret=")[2]
        assert mail.target == "red@example.org" and session.get(Reset, digest(secret))
    refusal(stranger.post("/reset", json={"secret": secret, "password": "short"}), 400)
    refusal(stranger.post("/reset", json={"secret": "x", "password": "another horse battery"}), 404)
    assert stranger.post("/reset", json={"secret": secret, "password": "another horse battery"}).status_code == 200
    refusal(stranger.post("/reset", json={"secret": secret, "password": "another horse battery"}), 404)
    refusal(red.get("/me"), 401)
    refusal(stranger.get("/me", headers={"Authorization": f"Bearer {token}"}), 401)
    refusal(log_in(site, stranger), 401)
    old = site.user("bo", "admin").post(f"/admin/users/{red.id}/reset", json={"reason": "no mail"}).json()["secret"]
    again = site.again(red.id)
    assert again.post("/me/password", json={"old": "another horse battery", "new": PASSWORD}).status_code == 200
    refusal(stranger.post("/reset", json={"secret": old, "password": PASSWORD}), 404)
    late = site.user("ada", "admin").post(f"/admin/users/{red.id}/reset", json={"reason": "no mail"}).json()["secret"]
    clock.pass_seconds(86400)
    refusal(stranger.post("/reset", json={"secret": late, "password": PASSWORD}), 404)


def test_no_link_is_promised_where_no_mail_is_sent(site: Any) -> None:
    red = site.user("red")
    silent = site.with_settings(smtp_host="")
    refusal(silent.browser().post("/forgotten", json={"email": "red@example.org"}), 409)
    with site.server.database.read() as session:
        assert not session.scalars(select(Notice)).all() and not session.scalars(select(Reset)).all()
    assert red.get("/me").status_code == 200


def test_mails_to_one_account_are_limited(site: Any) -> None:
    answers = [site.browser().post("/forgotten", json={"email": "red@example.org"}).status_code for _ in range(6)]
    assert answers == [*[202] * 5, 429]


def test_everyone_reads_their_own_messages(site: Any) -> None:
    admin, red, blue = site.user("ada", "admin"), site.user("red"), site.user("blue")
    admin.post(f"/admin/users/{red.id}/role", json={"role": "reviewer", "reason": "helps"})
    (message,) = site.again(red.id).get("/me/messages").json()
    assert (message["subject"], message["body"]) == ("You are reviewer now", "helps")
    assert blue.get("/me/messages").json() == []


def test_what_was_done_stands_in_the_log(site: Any) -> None:
    admin, red = site.user("ada", "admin"), site.user("red")
    red.post("/tokens", json={"name": "x", "scopes": ["read"]})
    admin.post(f"/admin/users/{red.id}/role", json={"role": "reviewer", "reason": "helps"})
    with site.server.database.read() as session:
        log = [(entry.action, entry.actor, entry.reason) for entry in session.scalars(select(audit.Audit))]
        assert audit.first_break(session) is None
    assert log[-2:] == [("token.create", red.id, ""), ("user.role", admin.id, "helps")]


# Limits


def test_tries_of_passwords_are_limited(site: Any) -> None:
    site = site.with_settings(login_tries=3)
    for _ in range(3):
        refusal(site.browser().post("/login", json={"email": "a@b.c", "password": "x"}), 401)
    answer = site.browser().post("/login", json={"email": "a@b.c", "password": "x"})
    refusal(answer, 429)
    assert 0 < int(answer.headers["Retry-After"]) <= 900


def test_changes_are_limited_by_account(site: Any) -> None:
    site = site.with_settings(changes=2)
    red, blue = site.user("red"), site.user("blue")
    for _ in range(2):
        refusal(red.delete("/tokens/x"), 404)
    refusal(red.delete("/tokens/x"), 429)
    refusal(blue.delete("/tokens/x"), 404)
    assert red.get("/me").status_code == 200
