"""What an operator watches: whether it is well, figures, and a log for programs or for people."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from fastapi.testclient import TestClient

from edgelm.server import metrics
from edgelm.server.app import create_app
from edgelm.server.outbox import KEPT
from edgelm.server.state import Server
from edgelm.server.tables import Job, Notice, Phase, Submission

START = 1_735_689_600_000_000


def figure(server: Server, name: str) -> float:
    (line,) = (line for line in metrics.page(server).decode().splitlines() if line.startswith(f"{name} "))
    return float(line.split()[-1])


def test_it_is_well_by_both_names(server: Server) -> None:
    client = TestClient(create_app(server))
    for path in ("/health", "/healthz"):
        assert (client.get(path).status_code, client.get(path).json()) == (200, {"status": "ok"})


def test_the_queue_and_the_outbox_in_figures(server: Server, clock: Any) -> None:
    assert figure(server, 'edgelm_jobs{state="waiting"}') == figure(server, "edgelm_job_waits_seconds") == 0
    with server.database.write() as session:
        session.add(Phase(name="scored", kind="scored", opens=START, closes=START + 1))
        session.flush()
        session.add(Submission(id="s", team_id="red", user_id="ann", track="compression", phase="scored", manifest="m",
                               title="", received=START, state="running", changed=START))  # fmt: skip
        session.flush()
        for number, state in enumerate(("waiting", "waiting", "leased")):
            session.add(Job(key=str(number), submission_id="s", kind="evaluate", tags=[], state=state, created=START))
        for number, (channel, created, sent) in enumerate([
            ("mail", START, None), ("mail", START, START), ("mail", START - KEPT, None), ("page", START, None),
            ("webhook", START, None),
        ]):  # fmt: skip
            session.add(Notice(event=str(number), channel=channel, target="t", subject="", body="", created=created,
                               sent=sent))  # fmt: skip
    clock.pass_seconds(90)
    assert figure(server, 'edgelm_jobs{state="waiting"}') == 2 and figure(server, 'edgelm_jobs{state="leased"}') == 1
    assert figure(server, "edgelm_job_waits_seconds") == 90
    for channel in ("mail", "webhook"):
        assert figure(server, f'edgelm_notices_unsent{{channel="{channel}"}}') == 1


LOGGED = """
import logging, sys, structlog
from edgelm.server import logs
logs.configure(sys.argv[1])
structlog.get_logger("edgelm.server").info("request", path="/x\\ny", status=200)
logging.getLogger("other").info("not ours")
"""


@pytest.mark.parametrize("form", ["json", "plain"])
def test_an_event_is_a_line(form: str) -> None:
    words = [sys.executable, "-c", LOGGED, form]
    (line,) = subprocess.run(words, capture_output=True, text=True, check=True).stderr.splitlines()
    if form == "json":
        assert json.loads(line).items() >= {"event": "request", "path": "/x\ny", "status": 200}.items()
    else:
        assert "request" in line and "status=200" in line and "\x1b" not in line
