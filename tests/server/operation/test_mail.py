"""What mail says and to whom, and what is made of a mail server's answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelm.errors import BadOption
from edgelm.server import mail
from edgelm.server.outbox import Undelivered
from edgelm.server.settings import Settings
from edgelm.server.tables import Notice

START = 1_735_689_600_000_000


@pytest.fixture
def post_office(serve_mail: Callable[[], Any]) -> Any:
    return serve_mail()


@pytest.fixture
def settings(tmp_path: Path, post_office: Any) -> Settings:
    return Settings(
        folder=tmp_path, title="Wettbewerb für kleine Modelle", public_url="https://contest.example.org",
        smtp_host="127.0.0.1", smtp_port=post_office.server_address[1], smtp_tls="none", smtp_from="c@example.org",
    )  # fmt: skip


def a_notice(**fields: Any) -> Notice:
    given = {"id": "n1", "event": "e1", "channel": "mail", "target": "ann@example.org", "subject": "scored", "body": "",
             "created": START}  # fmt: skip
    return Notice(**(given | fields))


def test_a_message_as_it_arrives(settings: Settings, post_office: Any) -> None:
    mail.carry(a_notice(subject="zwei\r\nBcc: eve@example.org", body="Größe: 2³ GiB\nEnde"), settings)
    (found,) = post_office.mails
    assert found["Subject"] == "zwei Bcc: eve@example.org" and found["Bcc"] is None
    assert (found["To"], found["From"]) == ("ann@example.org", "Wettbewerb für kleine Modelle <c@example.org>")
    assert found["Message-ID"] == "<n1@contest.example.org>" and found["Auto-Submitted"] == "auto-generated"
    assert found["Date"].datetime.timestamp() == START / 1e6
    assert found.get_content().startswith("Größe: 2³ GiB\r\nEnde\r\n")


def test_a_link_ends_what_a_message_says(settings: Settings, post_office: Any) -> None:
    mail.carry(a_notice(body="Open this.", link="https://contest.example.org/reset?secret=x"), settings)
    (found,) = post_office.mails
    assert found.get_content().startswith("Open this.\r\n\r\nhttps://contest.example.org/reset?secret=x\r\n\r\nWett")


@pytest.mark.parametrize(("answer", "ever"), [("550 no such mailbox", False), ("450 try later", True)])
def test_an_address_that_is_refused(settings: Settings, post_office: Any, answer: str, ever: bool) -> None:
    post_office.refused["ann@example.org"] = answer
    with pytest.raises(Undelivered) as caught:
        mail.carry(a_notice(), settings)
    assert (caught.value.ever, caught.value.others) == (ever, False)


@pytest.mark.parametrize("goodbye", ["", "421 too busy for that"])
def test_what_was_taken_is_taken_however_the_server_says_goodbye(
    settings: Settings, post_office: Any, goodbye: str
) -> None:
    post_office.goodbye = goodbye
    mail.carry(a_notice(), settings)
    assert len(post_office.mails) == 1


@pytest.mark.parametrize("target", ["", "nobody", "a@b@c", "ann@example.org, eve@e.org", "ann@example.org\r\nDATA"])
def test_what_is_no_address_is_never_sent(settings: Settings, post_office: Any, target: str) -> None:
    with pytest.raises(Undelivered) as caught:
        mail.carry(a_notice(target=target), settings)
    assert not caught.value.ever and post_office.mails == []


def test_a_server_without_what_the_settings_ask_is_not_used(settings: Settings, post_office: Any) -> None:
    for changes in ({"smtp_tls": "starttls"}, {"smtp_tls": "implicit"}, {"smtp_user": "me"}):
        with pytest.raises(Undelivered) as caught:
            mail.carry(a_notice(), settings.model_copy(update=changes))
        assert caught.value.others
    assert post_office.mails == []


def test_the_sender_must_be_known(tmp_path: Path) -> None:
    assert mail.sender(Settings(folder=tmp_path)) == ""
    assert mail.sender(Settings(folder=tmp_path, smtp_host="h", smtp_user="me@example.org")) == "me@example.org"
    with pytest.raises(BadOption, match="no address"):
        mail.sender(Settings(folder=tmp_path, smtp_host="h"))
