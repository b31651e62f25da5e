"""A competition with scripted results: no model is run, and every figure is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `server` is not installed")

from fastapi.testclient import TestClient

from edgelm.files import JsonLog, canonical_json
from edgelm.report import FULL_MARK, Report, Speed, TaskScore, Workload, mean_percent
from edgelm.server import accounts, boards
from edgelm.server.app import create_app
from edgelm.server.database import Database
from edgelm.server.settings import Settings
from edgelm.server.state import Server
from edgelm.server.tables import Job, Member, Phase, Submission, Team, User, new_id

DAY = 86_400 * 10**6
START = 1_735_689_600_000_000
RULES = "miniature:tasks=gsm8k+chid+holdout,holdouts=secret,objection_days=7"
TRACK = "compression"
Marks = Sequence[int]  # 1 is right


class Competition:
    """A server, its people, and what workers have handed in."""

    def __init__(self, server: Server, clock: Any) -> None:
        self.server, self.clock = server, clock
        self.app = create_app(server)
        with server.database.write() as session:
            session.add(Phase(name="main", kind="scored", opens=START, closes=START + DAY))

    def browser(self, name: str = "", role: str = "participant", team: str = "") -> TestClient:
        """The browser of a new user who has just logged in, with `client.id`; a visitor's without a name."""
        client: Any = TestClient(self.app, raise_server_exceptions=False)
        if name:
            with self.server.database.write() as session:
                user = User(email=f"{name}@example.org", name=name, password="", role=role, created=0)
                session.add(user)
                session.flush()
                if team:
                    self._team(session, team)
                    session.add(Member(user_id=user.id, team_id=team, joined=0))
                client.id = user.id
            self.log_in(client)
        return client

    def log_in(self, client: Any) -> None:
        """Give the password again."""
        with self.server.database.write() as session:
            user = session.get_one(User, client.id)
            user.second_step = 0
            cookie, login = accounts.log_in(session, user.id, self.clock(), 10_000)
            user.second_step = 1
        client.cookies.set("edgelm", cookie)
        client.headers["X-CSRF-Token"] = login.csrf

    def scored(
        self, team: str, gsm8k: Marks | None = (1, 0), chid: Marks | None = (1, 0), seconds: int = 1,
        secret: int | None = None, **fields: Any,
    ) -> str:  # fmt: skip
        """A submission that was evaluated; its id. `secret` is its score on the hold-out in percent."""
        with self.server.database.write() as session:
            self._team(session, team)
            id, now = new_id(), self.clock()
            session.add(Submission(id=id, team_id=team, user_id="", track=TRACK, phase="main", manifest=id,
                                   title=f"of {team}", received=now, state="scored", changed=now))  # fmt: skip
            session.flush()
            tasks = {task: own for task, own in {"gsm8k": gsm8k, "chid": chid}.items() if own is not None}
            result = self.result(tasks, seconds, secret, **fields)
            session.add(Job(key=id, submission_id=id, kind="evaluate", tags=[], state="done", created=now, ended=now,
                            result=result))  # fmt: skip
        return id

    def result(self, tasks: Mapping[str, Marks], seconds: int = 1, secret: int | None = None, **fields: Any) -> str:
        """What a worker hands in; its digest."""
        rules, put = self.server.rules, self.server.storage.put
        blank = {"checkpoint": "c" * 64, "name": "m", "parameters": 7, "bytes": 14, "dtypes": {"F16": 14}}
        speed = Speed(workload=Workload(prompt_tokens=rules.prompt_tokens, generated_tokens=rules.generated_tokens),
                      device="cpu", repeats_ns=[seconds * 10**9] * rules.repeats, first_token_ns=[5], prefill=1.0,
                      decode=1.0, spread=0.0, compliance=fields.get("compliance", []))  # fmt: skip
        scores, answers = {}, {}
        for task, marks in tasks.items():
            full = [FULL_MARK * mark for mark in marks]
            scores[task] = TaskScore(protocol=f"miniature-1/{task}-0", prompting="base", engine={}, samples=len(full),
                                     score=mean_percent(full), of=len(full))  # fmt: skip
            lines = [JsonLog.line({"key": f"{n}", "sample": f"{n}", "text": "", "mark": mark, "tokens": 1,
                                   "prompt_tokens": 1, "finish": "stop"}) for n, mark in enumerate(full)]  # fmt: skip
            answers[task] = put(b"".join(lines))
        report = Report(**blank, tasks=scores, speed=speed, memory={rules.memory_meter: fields.get("memory", 1000)})
        model: dict[str, Any] = {"report": self._put(report), "answers": answers,
                                 "agreement": fields.get("agreement")}  # fmt: skip
        if secret is not None:
            hidden = TaskScore(protocol="holdout/secret-1", prompting="base", engine={}, samples=9, of=9, score=secret)
            model["holdout"] = {"report": self._put(Report(**blank, tasks={"secret": hidden})), "answers": {}}
        return put(canonical_json({
            "format": 1, "submission": "", "manifest": "", "rules": fields.get("rules", rules.digest), "box": {},
            "eligible": fields.get("eligible", True), "models": {"base": model},
        }))  # fmt: skip

    def follow(self) -> None:
        """What the server does every two seconds."""
        boards.follow(self.server)

    def close(self) -> None:
        """Pass the end of the scored phase."""
        self.clock.now = max(self.clock.now, START + DAY)
        self.follow()

    def board(self, client: TestClient | None = None, **asked: Any) -> dict[str, Any]:
        """What `GET /boards/{track}` gives."""
        answer = (client or self.browser()).get(f"/boards/{TRACK}", params=asked)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def decide(self, path: str, body: Mapping[str, Any], first: Any, other: Any = None) -> Any:
        """Propose by one, second by another after a fresh login; the last answer."""
        self.log_in(first)
        answer = first.post(f"/admin/{path}", json={"reason": "so", **body})
        if other is not None and answer.status_code == 201:
            self.log_in(other)
            answer = other.post(f"/admin/decisions/{answer.json()['id']}/second")
        return answer

    def _put(self, report: Report) -> str:
        return self.server.storage.put(canonical_json(report.model_dump(mode="json")))

    @staticmethod
    def _team(session: Any, name: str) -> None:
        if session.get(User, "") is None:
            session.add(User(id="", email="nobody", name="nobody", password="", role="participant", created=0))
        if session.get(Team, name) is None:
            session.add(Team(id=name, name=name, key=name, tracks=[TRACK], created=0))
        session.flush()


@pytest.fixture
def server(database: Database, url: str, clock: Callable[[], int], tmp_path: Path) -> Server:
    settings = Settings(folder=tmp_path / "server", database=url, rules=RULES, password_memory=8, changes=10**6)
    return Server(settings, database, clock)


@pytest.fixture
def competition(server: Server, clock: Any) -> Iterator[Competition]:
    yield Competition(server, clock)


@pytest.fixture
def ada(competition: Competition) -> TestClient:
    """An organiser."""
    return competition.browser("Ada", "organiser")


@pytest.fixture
def bo(competition: Competition) -> TestClient:
    """Another."""
    return competition.browser("Bo", "organiser")


@pytest.fixture
def published(competition: Competition, ada: TestClient, bo: TestClient) -> Callable[[str], None]:
    """`published("final")`: bring a board with results through its states up to one, all settled."""

    def bring(state: str) -> None:
        competition.follow()
        if state == "live":
            return
        competition.close()
        for each in ("provisional", "final"):
            if state != "frozen":
                answer = competition.decide("publish", {"track": TRACK, "state": each}, ada, bo)
                assert answer.status_code == 200, answer.text
            if state in (each, "frozen"):
                return
            competition.clock.pass_seconds(8 * 86_400)

    return bring
