"""What tests of the queue begin with: a submission in hand, and workers."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

pytest.importorskip("sqlalchemy", reason="the extra `server` is not installed")

from sqlalchemy.orm import Session

from edgelm.errors import Unsupported
from edgelm.server.tables import Attempts, Member, Phase, Slot, Submission, Team, User, Worker
from edgelm.server.worker.model_box import ModelBox, find_box

START = 1_735_689_600_000_000  # where the standing clock begins
DAY = 86_400_000_000


@pytest.fixture(scope="session")
def box() -> ModelBox:
    """The box of this machine, from which every way out was tried once."""
    try:
        return find_box()
    except Unsupported as error:
        pytest.skip(str(error))


@pytest.fixture
def a_worker() -> Callable[..., Worker]:
    def make(session: Session, name: str = "one", tags: tuple[str, ...] = ()) -> Worker:
        digest = sha256(f"key of {name}".encode()).hexdigest()
        worker = Worker(name=name, sha256=digest, tags=list(tags), created=START)
        session.add(worker)
        session.flush()
        return worker

    return make


@pytest.fixture
def a_submission() -> Callable[..., Submission]:
    """A team's package, with its slot reserved."""

    def make(session: Session, name: str = "first", *, state: str = "checking", slot: int = 1) -> Submission:
        if session.get(Phase, "scored") is None:
            session.add(Phase(name="scored", kind="scored", opens=START - DAY, closes=START + DAY))
            for id, role in (("u1", "participant"), ("o1", "organiser")):
                email = f"{id}@example.org"
                session.add(User(id=id, email=email, name=id, password="", role=role, created=START))
            session.add(Team(id="t1", name="Team", key="team", tracks=["compression"], created=START))
            session.flush()
            session.add(Member(user_id="u1", team_id="t1", captain=True, joined=START))
            session.add(Attempts(team_id="t1", track="compression", phase="scored", used=1))
        made = Submission(
            id=name, team_id="t1", user_id="u1", track="compression", phase="scored",
            manifest=sha256(name.encode()).hexdigest(), title="T", received=START, state=state, changed=START,
        )  # fmt: skip
        session.add(made)
        session.flush()
        key = {"team_id": "t1", "track": "compression", "phase": "scored"}
        session.add(Slot(**key, number=slot, submission_id=name, use="reserved"))
        session.flush()
        return made

    return make
