"""Every message arrives, once: through hours without an answer, beside a second server, after a kill in the middle."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from edgelm.server import chores, mail, notices, outbox
from edgelm.server.outbox import CLAIM, KEPT, Undelivered
from edgelm.server.posting import Post
from edgelm.server.state import Server
from edgelm.server.tables import Notice, User, Webhook

Serve = Callable[[int], Any]
MINUTE, HOUR = 60, 3600
KILLED = """
import os, signal, sys
from pathlib import Path
from edgelm.server import outbox
from edgelm.server.database import Database
from edgelm.server.settings import Settings
from edgelm.server.state import Server

def carry(notice):
    print(notice.id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

url, now = sys.argv[1], int(sys.argv[2])
outbox.send(Server(Settings(folder=Path("."), database=url), Database(url), lambda: now), "mail", carry)
"""


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def tell(server: Server, number: int, user: str = "ann") -> None:
    with server.database.write() as session:
        notices.tell(session, [session.get_one(User, user)], f"message {number}", "Hello.", server.clock())


def add_webhook(server: Server, url: str = "https://hooks.example.org/x") -> None:
    with server.database.write() as session:
        session.add(Webhook(id="hook", team_id="red", user_id="ann", url=url, secret="s", created=server.clock()))


def waiting(server: Server, channel: str) -> int:
    with server.database.read() as session:
        return outbox.waiting(session, channel, server.clock())


def test_targets_that_are_dead_for_six_hours_get_everything_after_once_each(
    server: Server, with_settings: Callable[..., Server], clock: Any, serve_mail: Serve, serve_posts: Serve
) -> None:
    mail_port, post_port = free_port(), free_port()
    server = with_settings(smtp_host="127.0.0.1", smtp_port=mail_port, smtp_tls="none", smtp_from="contest@example.org")
    add_webhook(server)
    post = Post(server, lambda host: "127.0.0.1", lambda *_: http.client.HTTPConnection("127.0.0.1", post_port, 5))

    def send() -> int:
        return sum(outbox.send(server, channel, carry) for channel, carry in
                   (("mail", partial(mail.carry, settings=server.settings)), ("webhook", post)))  # fmt: skip

    for number in range(6 * HOUR // (5 * MINUTE)):  # a message each five minutes, and none of them is taken
        tell(server, number)
        assert send() == 0
        clock.pass_seconds(5 * MINUTE)
    assert (waiting(server, "mail"), waiting(server, "webhook")) == (72, 72)
    mails, posts = serve_mail(mail_port), serve_posts(post_port)
    for _ in range(HOUR // MINUTE):
        clock.pass_seconds(MINUTE)
        send()
    assert sorted(each["Subject"] for each in mails.mails) == sorted(f"message {number}" for number in range(72))
    assert len({each["Message-ID"] for each in mails.mails}) == 72
    assert len({json.loads(body)["event"] for _, body in posts.posts}) == len(posts.posts) == 72
    assert (waiting(server, "mail"), waiting(server, "webhook")) == (0, 0)


def test_two_servers_never_send_the_same(server: Server) -> None:
    for number in range(20):
        tell(server, number)
    sent: list[str] = []
    threads = [threading.Thread(target=outbox.send, args=(server, "mail", lambda notice: sent.append(notice.id)))
               for _ in range(4)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == len(set(sent)) == 20


def test_what_a_killed_server_had_begun_to_send_goes_out_after_its_claim(server: Server, url: str, clock: Any) -> None:
    tell(server, 1)
    words = [sys.executable, "-c", KILLED, url, str(server.clock())]
    killed = subprocess.run(words, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    sent: list[str] = []
    clock.pass_seconds(CLAIM / 1e6 - 1)
    assert outbox.send(server, "mail", lambda notice: sent.append(notice.id)) == 0
    clock.pass_seconds(1)
    assert outbox.send(server, "mail", lambda notice: sent.append(notice.id)) == 1
    assert sent == [killed.stdout.strip()]  # the same id as the first time


def test_waits_grow_and_end(server: Server, clock: Any) -> None:
    tell(server, 1)
    tries: list[int] = []

    def carry(notice: Notice) -> None:
        tries.append(server.clock())
        raise Undelivered("no")

    while server.clock() < tries[0] + KEPT + 10 * HOUR * 10**6 if tries else True:
        outbox.send(server, "mail", carry)
        clock.pass_seconds(MINUTE)
    gaps = [(later - earlier) // (MINUTE * 10**6) for earlier, later in pairwise(tries)]
    assert gaps[:8] == [1, 2, 4, 8, 16, 32, 60, 60] and set(gaps[8:]) == {60}
    assert tries[-1] - tries[0] < KEPT and waiting(server, "mail") == 0


def test_a_message_that_always_fails_does_not_stop_the_others(server: Server, clock: Any) -> None:
    tell(server, 0)
    clock.pass_seconds(1)
    for number in range(1, 4):
        tell(server, number)
    sent: list[str] = []

    def carry(notice: Notice) -> None:
        if notice.subject == "message 0":
            raise Undelivered("it brings the other side down", others=True)
        sent.append(notice.subject)

    outbox.send(server, "mail", carry)
    assert sent == []  # the place seemed dead
    clock.pass_seconds(MINUTE)
    outbox.send(server, "mail", carry)
    assert sorted(sent) == ["message 1", "message 2", "message 3"]


@pytest.mark.parametrize("failure", [None, Undelivered("not this one"), Undelivered("none", others=True)])
def test_targets_take_turns_however_slow_some_are_and_whatever_comes_of_it(
    server: Server, clock: Any, monkeypatch: pytest.MonkeyPatch, failure: Undelivered | None
) -> None:
    monkeypatch.setattr(outbox, "time", SimpleNamespace(monotonic=lambda: clock() / 1e6))
    tried: list[str] = []

    def post(target: str, number: int = 1) -> None:
        with server.database.write() as session:
            for _ in range(number):
                notices.post(session, session.get_one(Webhook, target), "scored", "", server.clock())

    def carry(notice: Notice) -> None:
        tried.append(notice.target)
        post(notice.target)  # and there is more to come
        if notice.target != "quick":
            clock.pass_seconds(19)  # this alone takes a whole pass
            if failure:
                raise failure
        clock.pass_seconds(1)

    with server.database.write() as session:
        for name in ("slow", "slower", "quick"):
            session.add(Webhook(id=name, team_id=None, user_id="olga", url="", secret="", created=0))
    post("slow", 20)
    post("slower", 20)
    clock.pass_seconds(1)
    post("quick")
    for _ in range(3):
        outbox.send(server, "webhook", carry)
    assert sorted(tried[:3]) == ["quick", "slow", "slower"]


def test_messages_to_one_target_keep_their_order(server: Server, clock: Any) -> None:
    subjects = [f"message {number}" for number in range(5)]
    sent: list[str] = []

    def carry(notice: Notice) -> None:
        clock.pass_seconds(1)
        sent.append(notice.subject)

    for number in range(5):
        tell(server, number)
        clock.pass_seconds(1)
    outbox.send(server, "mail", carry)
    assert sent == subjects


def test_what_will_never_be_taken_is_given_up(server: Server, clock: Any) -> None:
    tell(server, 1)

    def carry(notice: Notice) -> None:
        raise Undelivered("no such mailbox", ever=False)

    outbox.send(server, "mail", carry)
    assert waiting(server, "mail") == 0
    clock.pass_seconds(HOUR)
    assert outbox.send(server, "mail", lambda notice: pytest.fail("it was given up")) == 0


def test_nothing_waits_for_mail_where_none_is_set_up(server: Server, with_settings: Any, clock: Any) -> None:
    tell(server, 1)
    with server.database.write() as session:
        notices.tell_address(session, "bob@example.org", "Come", "Open this.", server.clock(), "https://x?secret=y")
    chores.send_mail(server)
    assert waiting(server, "mail") == 0
    with server.database.read() as session:
        assert all(notice.link == "" and notice.sent is None for notice in session.scalars(select(Notice)))
    clock.pass_seconds(HOUR)
    tell(server, 2)
    sent: list[str] = []
    outbox.send(with_settings(smtp_host="mail.example.org"), "mail", lambda notice: sent.append(notice.subject))
    assert sent == ["message 2"]  # what is old by then comes to nobody


def test_a_fault_of_our_own_keeps_the_message(server: Server) -> None:
    tell(server, 1)
    assert outbox.send(server, "mail", lambda notice: print(1 // 0)) == 0
    assert waiting(server, "mail") == 1


def test_pages_are_no_channel_that_is_sent(server: Server) -> None:
    tell(server, 1)
    with server.database.read() as session:
        assert [notice.subject for notice in notices.shown(session, "ann")] == ["message 1"]
    assert (waiting(server, "mail"), waiting(server, "webhook")) == (1, 0)


@pytest.mark.parametrize("failure", [None, Undelivered("no such mailbox", ever=False), Undelivered("later")])
def test_a_link_that_bears_a_secret_is_kept_until_it_is_sent(server: Server, failure: Undelivered | None) -> None:
    with server.database.write() as session:
        notices.tell_address(session, "bob@example.org", "A new password", "Open this.", server.clock(), "https://x")
    sent: list[str] = []

    def carry(notice: Notice) -> None:
        sent.append(notice.link)
        if failure:
            raise failure

    outbox.send(server, "mail", carry)
    assert sent == ["https://x"]
    with server.database.read() as session:
        (notice,) = session.scalars(select(Notice))
        assert notice.link == ("https://x" if failure and failure.ever else "")
