"""Webhooks: who makes them, what they are told, where they may not go, and how a reader knows that it was us."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from edgelm.server import audit, notices, outbox, webhooks
from edgelm.server.app import create_app
from edgelm.server.audit import Actor
from edgelm.server.keys import TOKEN, digest, new_key
from edgelm.server.outbox import Undelivered
from edgelm.server.posting import Post
from edgelm.server.refusals import Conflict, Refused
from edgelm.server.state import Server
from edgelm.server.tables import Member, Notice, Team, Token, User, Webhook

START = 1_735_689_600_000_000
ANN, OLGA = Actor("ann", "participant"), Actor("olga", "organiser")
URL = "https://hooks.example.org/in?x=1"
Asked = Callable[..., Any]


@pytest.fixture
def bob(server: Server) -> None:
    """Another member of the team."""
    with server.database.write() as session:
        session.add(User(id="bob", email="bob@example.org", name="bob", password="", role="participant", created=START))
        session.flush()
        session.add(Member(user_id="bob", team_id="red", joined=START))


@pytest.fixture
def asked(with_settings: Callable[..., Server]) -> Asked:
    """`asked("ann", "GET", "/…")`: the answer to somebody's program."""
    server = with_settings(second_factor=False)
    client = TestClient(create_app(server))

    def ask(user: str, method: str, path: str, **sent: Any) -> Any:
        key = new_key(TOKEN)
        with server.database.write() as session:
            session.add(Token(sha256=digest(key), user_id=user, name="", scopes=["team", "organise"], created=START,
                              expires=2**62, used=None))  # fmt: skip
        return client.request(method, path, headers={"Authorization": f"Bearer {key}"}, **sent)

    return ask


def posted(server: Server) -> list[tuple[str, str]]:
    """Webhooks and subjects of what is to be posted."""
    found: list[tuple[str, str]] = []
    outbox.send(server, "webhook", lambda notice: found.append((notice.target, notice.subject)))
    return found


# Who, and what


def test_a_captain_makes_one_and_others_of_the_team_only_see_it(asked: Asked, bob: None) -> None:
    made = asked("ann", "POST", "/teams/red/webhooks", json={"url": URL})
    assert made.status_code == 201 and len(made.json()["secret"]) > 20
    (seen,) = asked("bob", "GET", "/teams/red/webhooks").json()
    assert seen == {**made.json(), "secret": ""}
    one = f"/teams/red/webhooks/{seen['id']}"
    for method, path in (("POST", "/teams/red/webhooks"), ("POST", f"{one}/test"), ("DELETE", one)):
        assert asked("bob", method, path, json={"url": URL}).status_code == 403
        assert asked("olga", method, path, json={"url": URL}).status_code == 404
    assert asked("olga", "GET", "/teams/red/webhooks").status_code == 404
    assert asked("ann", "DELETE", one).status_code == 200
    assert asked("ann", "GET", "/teams/red/webhooks").json() == []


def test_organisers_have_their_own(asked: Asked) -> None:
    made = asked("olga", "POST", "/admin/webhooks", json={"url": URL}).json()
    assert asked("ann", "GET", "/admin/webhooks").status_code == 403
    assert asked("ann", "POST", f"/teams/red/webhooks/{made['id']}/test").status_code == 404
    assert asked("olga", "POST", f"/admin/webhooks/{made['id']}/test").status_code == 201
    assert asked("olga", "DELETE", f"/admin/webhooks/{made['id']}").status_code == 200


def test_what_a_whole_team_is_told_is_posted_and_what_one_is_told_is_not(server: Server, bob: None) -> None:
    with server.database.write() as session:
        of_team = webhooks.create(session, ANN, "red", URL, START).id
        of_organisers = webhooks.create(session, OLGA, None, URL, START).id
        notices.tell(session, [session.get_one(User, "ann")], "your password was changed", "", START)
        notices.tell(session, notices.members(session, "red"), "scored", "", START, "event-1")
        notices.tell(session, notices.organisers(session), "a review is due", "", START)
    assert set(posted(server)) == {(of_team, "scored"), (of_organisers, "a review is due")}
    assert posted(server) == []
    with server.database.read() as session:
        assert webhooks.last_sent(session, of_team) == START
        assert audit.first_break(session) is None and audit.head(session)[0] == 2


def test_many_webhooks_cost_no_more_questions_than_one(server: Server) -> None:
    def questions() -> int:
        asked = []
        listen = ("before_cursor_execute", lambda *_: asked.append(1))
        event.listen(server.database.engine, *listen)
        with server.database.write() as session:
            notices.tell(session, notices.members(session, "red"), "scored", "", START)
        event.remove(server.database.engine, *listen)
        return len(asked)

    with server.database.write() as session:
        webhooks.create(session, ANN, "red", URL, START)
    before = questions()
    with server.database.write() as session:
        for number in range(20):
            team = f"team-{number}"
            session.add(Team(id=team, name=team, key=team, tracks=[], created=START))
            session.flush()
            session.add(Webhook(team_id=team, user_id="olga", url=URL, secret="", created=START))
    assert questions() == before


def test_a_test_is_posted_and_nothing_to_one_that_was_removed(server: Server) -> None:
    with server.database.write() as session:
        one = webhooks.create(session, ANN, "red", URL, START).id
        webhooks.test(session, ANN, "red", one, START)
        notices.tell(session, notices.members(session, "red"), "scored", "", START)
        webhooks.remove(session, ANN, "red", one, START)
    refuse = pytest.fail
    assert outbox.send(server, "webhook", Post(server, refuse, refuse)) == 0
    with server.database.read() as session:
        assert outbox.waiting(session, "webhook", START) == 0


def test_a_test_waits_for_the_one_before(asked: Asked, server: Server, clock: Any) -> None:
    first, other = (asked("ann", "POST", "/teams/red/webhooks", json={"url": f"{URL}{number}"}).json()["id"]
                    for number in range(2))  # fmt: skip

    def test(webhook: str) -> Any:
        return asked("ann", "POST", f"/teams/red/webhooks/{webhook}/test")

    def refuse(notice: Notice) -> None:
        raise Undelivered("down")

    assert [test(first).status_code for _ in range(3)] == [201, 409, 409] and test(other).status_code == 201
    outbox.send(server, "webhook", refuse)
    refused = test(first).json()
    assert "on its way" in refused["what"] and "not taken yet" in refused["why"] and "anew" in refused["mend"]
    clock.pass_seconds(60)
    assert sorted(posted(server)) == sorted([(first, "test"), (other, "test")])
    assert test(first).status_code == 201


@pytest.mark.parametrize("place", [
    "http://hooks.example.org/", "https://127.0.0.1/", "https://[::1]/", "https://10.0.0.7/x", "https://localhost/",
    "https://me:pw@hooks.example.org/", "https://hooks.example.org:8443/", "https://169.254.169.254/latest", "ftp://x/",
    "https://server.internal/", "https:///x",
])  # fmt: skip
def test_addresses_that_are_refused(server: Server, place: str) -> None:
    with server.database.write() as session, pytest.raises(Refused, match="nothing can be posted"):
        webhooks.create(session, ANN, "red", place, START)


def test_five_are_enough_and_none_comes_twice(server: Server) -> None:
    with server.database.write() as session:
        for number in range(5):
            webhooks.create(session, ANN, "red", f"{URL}{number}", START)
        with pytest.raises(Conflict, match="5 webhooks"):
            webhooks.create(session, ANN, "red", URL, START)
        with pytest.raises(Conflict, match="already"):
            webhooks.create(session, ANN, "red", f"{URL}1", START)


# How


@pytest.fixture
def a_notice(server: Server) -> Notice:
    with server.database.write() as session:
        session.add(Webhook(id="hook", team_id="red", user_id="ann", url=URL, secret="shared", created=START))
    return Notice(id="n1", event="e1", channel="webhook", target="hook", subject="größer", body="b", created=START)


def plain(port: int) -> Callable[[str, str], http.client.HTTPConnection]:
    return lambda host, address: http.client.HTTPConnection(address, port, timeout=5)


def test_a_reader_can_tell_that_it_was_us(server: Server, a_notice: Notice, serve_posts: Callable[[], Any]) -> None:
    posts = serve_posts()
    Post(server, lambda host: "127.0.0.1", plain(posts.server_address[1]))(a_notice)
    ((headers, body),) = posts.posts
    assert json.loads(body) == {"event": "e1", "subject": "größer", "body": "b", "created": START}
    assert headers["Edgelm-Event"] == "e1" and headers["Edgelm-Timestamp"] == str(START // 10**6)
    signed = hmac.new(b"shared", f"{START // 10**6}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["Edgelm-Signature"] == f"sha256={signed}"


@pytest.mark.parametrize(("status", "others"), [(302, True), (500, True), (422, False), (404, True)])
def test_what_is_not_taken_waits(
    server: Server, a_notice: Notice, serve_posts: Callable[[], Any], status: int, others: bool
) -> None:
    posts = serve_posts()
    posts.status = status
    with pytest.raises(Undelivered) as caught:
        Post(server, lambda host: "127.0.0.1", plain(posts.server_address[1]))(a_notice)
    assert (caught.value.ever, caught.value.others) == (True, others)
    assert len(posts.posts) == 1  # no redirect is followed


def test_a_name_of_a_private_address_is_not_posted_to(
    server: Server, a_notice: Notice, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(Undelivered, match=r"10\.0\.0\.1"):
        Post(server, connect=lambda *_: pytest.fail("it was connected to"))(a_notice)


def test_a_reader_that_never_answers_is_left(server: Server, a_notice: Notice) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Undelivered):
            Post(server, lambda host: "127.0.0.1", plain(silent.getsockname()[1]), seconds=0.1)(a_notice)
        assert time.monotonic() - began < 2
