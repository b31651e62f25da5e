"""What holds for every answer: headers, sizes, one shape of refusals; and a server that starts from an empty folder."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from edgelm.errors import BadOption, UnknownName
from edgelm.server import records
from edgelm.server.alone import alone
from edgelm.server.chores import doing
from edgelm.server.database import Database
from edgelm.server.rates import network
from edgelm.server.settings import read_settings
from edgelm.server.start import first_admin_link, start
from edgelm.server.tables import RuleSet


@pytest.mark.parametrize("path", ["/health", "/nothing", "/me", "/teams/%00", "/openapi.json"])
def test_every_answer_bears_what_browsers_obey(site: Any, path: str) -> None:
    headers = site.browser().get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers


def test_https_is_held_to(site: Any) -> None:
    site.user("red")
    safe = site.with_settings(public_url="https://board.example.org")
    answer = safe.browser().post("/login", json={"email": "red@example.org", "password": "correct horse battery"})
    assert "max-age=" in answer.headers["Strict-Transport-Security"]
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-edgelm=") and "; Secure" in cookie and "Domain" not in cookie


def test_an_answer_may_say_that_it_shows_nothing_private(site: Any) -> None:
    from edgelm.server import competition
    from edgelm.server.audit import SYSTEM

    with site.server.database.write() as session:
        competition.publish_rules(session, SYSTEM, site.server.rules, "first", 1)
    assert "public" in site.browser().get(f"/rules/{site.server.rules.digest}").headers["Cache-Control"]


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/nothing", 404), ("PUT", "/health", 405), ("GET", "/teams/%00", 400), ("GET", "/phases?a=%00", 400),
    ("GET", "//admin/users", 404), ("GET", "/admin/users/", 404), ("GET", "/teams/\ud7ff", 401),
])  # fmt: skip
def test_refusals_of_the_framework_have_our_shape(site: Any, method: str, path: str, status: int) -> None:
    answer = site.browser().request(method, path, follow_redirects=False)
    assert answer.status_code == status and answer.json().keys() == {"code", "what", "why", "mend"}


def test_bodies_have_a_limit(site: Any) -> None:
    large = b'{"email": "' + b"a" * 2**20 + b'"}'
    typed = {"Content-Type": "application/json"}
    assert site.browser().post("/register", content=large, headers=typed).status_code == 413
    pieces = iter([large[: 2**19], large[2**19 :]])  # which say nothing of their length beforehand
    answer = site.browser().post("/register", content=pieces, headers=typed)
    assert answer.status_code in (400, 413) and answer.json().keys() == {"code", "what", "why", "mend"}


@pytest.mark.parametrize(("path", "refused"), [("/jobs/x/journals/y", True), ("/me", True), ("/blobs/x", False)])
def test_only_parts_of_uploads_may_be_of_any_length(site: Any, path: str, refused: bool) -> None:
    """All else would be held in memory before anyone is asked who sends it."""
    answer = site.browser().patch(path, headers={"Content-Length": str(2**27)})
    assert (answer.status_code == 413) is refused


@pytest.mark.parametrize("body", [b"[" * 100_000, b"1" * 10_000, b"\xff", b"NaN", b'{"email": "\\ud800@b.c"}'])
def test_what_is_no_json_is_refused(site: Any, body: bytes) -> None:
    answer = site.browser().post("/register", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422) and answer.json().keys() == {"code", "what", "why", "mend"}


def test_without_its_database_a_server_says_so(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception("gone"))

    monkeypatch.setattr(Database, "read", gone)
    browser = site.browser()
    assert browser.get("/health").status_code == 200
    answer = browser.get("/ready")
    assert answer.status_code == 503 and "Retry-After" in answer.headers and "secret" not in answer.text


def test_a_fault_tells_nothing_of_itself(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Database, "read", broken)
    answer = site.browser().get("/ready")
    assert answer.status_code == 500 and answer.json()["what"] and "secret" not in answer.text


@pytest.mark.parametrize(("address", "shown"), [
    ("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002"), ("testclient", "testclient"),
])  # fmt: skip
def test_what_counts_as_one_address(address: str, shown: str) -> None:
    assert network(address) == shown


def test_chores_are_done_again_even_after_one_failed(site: Any) -> None:
    done = threading.Semaphore(0)

    def fails(server: object) -> None:
        assert server is site.server
        done.release()
        raise RuntimeError

    with doing(site.server, {fails: 0.01}):
        assert all(done.acquire(timeout=10) for _ in range(3))
    while done.acquire(blocking=False):
        pass
    assert not done.acquire(timeout=0.1)


def test_silent_workers_lose_their_jobs(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reaped = threading.Event()
    monkeypatch.setattr(records, "reap", lambda *_: reaped.set())
    with site.browser():  # which starts the application, and ends it
        assert reaped.wait(10)


def test_figures_for_monitoring(site: Any) -> None:
    olga = site.user("olga", "organiser")
    site.team("Red", "ann")
    olga.get("/teams/x")
    olga.request("INVENTED", "/nothing")
    text = olga.get("/metrics").text
    assert 'edgelm_answers_total{method="GET",route="/teams/{team_id}",status="404"} 1.0' in text
    assert 'edgelm_answers_total{method="other",route="none",status="404"} 1.0' in text
    assert re.search(r"edgelm_disk_free_bytes \d", text) and "edgelm_audit_entries 4.0" in text


# Starting


def test_settings_come_from_the_environment_then_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "server.toml").write_text('title = "Ours"\nlogin_hours = 3\n')
    monkeypatch.setenv("EDGELM_SERVER_LOGIN_HOURS", "5")
    found = read_settings(tmp_path)
    assert (found.title, found.login_hours, found.folder) == ("Ours", 5, tmp_path)


@pytest.mark.parametrize("text", ["login_hours = 0", "login_hours = 'secret'", "no toml"])
def test_settings_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.toml").write_text(text)
    with pytest.raises(BadOption) as refused:
        read_settings(tmp_path)
    assert "server.toml" in str(refused.value) and "secret" not in str(refused.value)


def test_a_setting_that_is_misspelt(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("titel = 'x'")
    with pytest.raises(UnknownName, match=r"server\.toml called 'titel'") as refused:
        read_settings(tmp_path)
    assert refused.value.mend == "did you mean 'title'?"


def test_a_database_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELM_SERVER_DATABASE", f"postgresql+psycopg://x@/x?host={tmp_path}")
    with pytest.raises(BadOption, match="does not answer"):
        start(read_settings(tmp_path))


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("signing_key = 'board'")
    with pytest.raises(BadOption, match="signing_key names board"):
        start(read_settings(tmp_path))
    assert not (tmp_path / "edgelm.db").exists()


def test_rules_are_in_force_once_and_a_link_is_there_until_it_was_used(tmp_path: Path, clock: Any) -> None:
    first, again = (start(read_settings(tmp_path), clock) for _ in range(2))
    with again.database.read() as session:
        assert session.query(RuleSet).count() == 1
    link = first_admin_link(first)
    assert link.startswith("http://127.0.0.1:8000/first-admin?secret=") and link != first_admin_link(again)
    from fastapi.testclient import TestClient

    from edgelm.server.app import create_app

    body = {"email": "a@b.c", "name": "Ada", "password": "correct horse battery", "secret": link.partition("=")[2]}
    assert TestClient(create_app(first)).post("/first-admin", json=body).status_code == 201
    assert first_admin_link(first) == ""
    first.database.close()
    again.database.close()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """`edgelm serve` on a folder that is not there yet: its process, its address, when it was begun."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgelm", "serve", tmp_path / "new", "--port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("EDGELM_SERVER_")},
    )  # fmt: skip
    yield process, f"http://127.0.0.1:{port}", began
    process.kill()
    process.communicate()


def test_an_empty_folder_becomes_a_server(serving: Any) -> None:
    process, url, began = serving
    while True:
        try:
            answer = httpx.get(f"{url}/ready")
            break
        except httpx.ConnectError:
            assert process.poll() is None and time.monotonic() - began < 60, process.communicate()
            time.sleep(0.05)
    took = time.monotonic() - began
    assert answer.json()["status"] == "ok"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert re.search(rf"{url}/first-admin\?secret=\S{{43}}\n", said)
    (line,) = [json.loads(line) for line in said.splitlines() if '"/ready"' in line]
    assert line["status"] == 200 and line["event"] == "request"
    assert process.returncode == 0
    assert took < 5 * max(1, os.getloadavg()[0] / (os.cpu_count() or 1))  # on a machine that others use, too


def test_a_folder_is_served_by_one_process_until_that_is_gone_however_it_went(serving: Any, tmp_path: Path) -> None:
    process, _, began = serving
    while not (tmp_path / "new" / "edgelm.db").exists():
        assert process.poll() is None and time.monotonic() - began < 60, process.communicate()
        time.sleep(0.05)
    command = [sys.executable, "-m", "edgelm", "serve", tmp_path / "new", "--port", "0"]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2 and "is served already" in second.stderr and "mend:" in second.stderr
    with pytest.raises(BadOption, match="served already"), alone(tmp_path / "new"):
        raise AssertionError
    process.kill()
    process.wait()
    with alone(tmp_path / "new"):
        pass


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "edgelm", "serve", tmp_path, "--port", str(taken.getsockname()[1])]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "nothing can listen" in result.stderr
