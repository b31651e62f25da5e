"""A competition in which something of each kind waits for its organisers, and all its texts want to be scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgelm.server import accounts, appeals, competition, decisions, queue, slots, states, webhooks
from edgelm.server.audit import SYSTEM, Actor
from edgelm.server.tables import Finding, Job, Member, Submission, User

from ...boards.conftest import TRACK, Competition
from ..conftest import EVIL, Browser, Site

RULES = "miniature:tasks=gsm8k+chid+holdout,holdouts=secret,objection_days=7"
HISTOGRAM = [0, 3, 5, 0, 0, 0, 0, 1, 0, 2]


class Arena:
    """A site whose results are scripted; browsers know HTML alone."""

    def __init__(self, site: Site, clock: Any) -> None:
        self.site, self.server, self.clock = site, site.server, clock
        self.results = Competition(site.server, clock)
        self.users: dict[str, str] = {}

    def user(self, name: str, role: str = "participant", team: str = "") -> Browser:
        """The browser of a new user who has just logged in."""
        self.users[name] = self.site.add_user(name, role)
        if team:
            with self.server.database.write() as session:
                session.add(Member(user_id=self.users[name], team_id=team, joined=0))
        return self.site.visitor().log_in(name)

    def actor(self, name: str, role: str = "organiser") -> Actor:
        return Actor(self.users[name], role)

    def flag(self, one: str, **more: Any) -> None:
        """Have the checker flag a submission."""
        body = {"code": "QNT-05", "severity": "R", "path": EVIL, "what": EVIL, "why": EVIL, "mend": EVIL,
                "evidence": {"per_128": 0.41, "histogram": HISTOGRAM, EVIL: EVIL}, **more}  # fmt: skip
        with self.server.database.write() as session:
            session.add(Finding(submission_id=one, number=1, body=body))
            session.get_one(Submission, one).review = "open"

    def job(self, one: str) -> str:
        """The last job of a submission."""
        with self.server.database.read() as session:
            return session.query(Job).filter_by(submission_id=one).order_by(Job.created.desc()).first().id

    def handed_in(self, team: str, title: str = "") -> str:
        """A submission that waits for its evaluation, with its slot."""
        one = self.results.scored(team)
        with self.server.database.write() as session:
            found = session.get_one(Submission, one)
            found.state, found.title = "queued", title or found.title
            session.query(Job).filter_by(submission_id=one).delete()
            slots.reserve(session, self.server.rules, found)
            queue.enqueue(session, SYSTEM, key=f"evaluate/{one}", submission_id=one, kind="evaluate",
                          now=self.clock())  # fmt: skip
        return one

    def failed(self, team: str) -> str:
        """A submission whose job has failed by the platform's fault."""
        one = self.handed_in(team)
        with self.server.database.write() as session:
            found = session.get_one(Submission, one)
            states.move(session, SYSTEM, found, "running", self.clock())
            states.move(session, SYSTEM, found, "failed", self.clock(), sentence=EVIL, code="worker-lost",
                        fault="platform")  # fmt: skip
            job = session.query(Job).filter_by(submission_id=one).one()
            job.state, job.cause, job.ended, job.attempt = "failed", EVIL, self.clock(), 3
        return one


@pytest.fixture
def arena(make_site: Callable[..., Site], clock: Any, request: pytest.FixtureRequest) -> Arena:
    """On SQLite, or on the database that its parameter names."""
    url = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_url")
    return Arena(make_site(clock, rules=RULES, phases=(), url=url), clock)


@pytest.fixture
def busy(arena: Arena) -> Arena:
    """An arena with something of each kind; `.one` is scored and flagged, `.lost` has failed, `.next` waits."""
    now = arena.clock()
    arena.one = arena.results.scored(EVIL, (1, 1), (1, 0), secret=40)
    arena.other = arena.results.scored("blue", (1, 0), (1, 0), secret=20)
    arena.lost, arena.next = arena.failed("green"), arena.handed_in("blue", EVIL)
    arena.users["pia"] = arena.site.add_user("pia", "organiser", EVIL)
    arena.flag(arena.one)
    arena.flag(arena.other, code="DUP-01", evidence={"submission": arena.one})
    arena.results.follow()
    pia = arena.actor("pia")
    with arena.server.database.write() as session:
        accounts.new_worker(session, Actor(arena.users["pia"], "admin"), "gpu-1", ["gpu"], now)
        charge = {"submission": arena.other, "offence": "memory", "evidence": EVIL}
        arena.proposal = decisions.propose(session, pia, "disqualify", charge, EVIL, now).id
        objection = appeals.appeal(session, arena.server.rules, pia, session.get_one(Submission, arena.one), EVIL, now)
        arena.appeal = objection.id
        competition.announce(session, pia, EVIL, EVIL, now)
        slots.grant(session, pia, arena.server.rules, "blue", TRACK, "main", EVIL, now)
        arena.webhook = webhooks.create(session, pia, None, "https://hooks.example.org/x", now).id
        queue.pause(session, pia, EVIL, now)
        arena.person = session.query(User).filter_by(name=EVIL).one().id
    arena.clock.pass_seconds(120)
    return arena


@pytest.fixture
def final(arena: Arena) -> Arena:
    """An arena whose board is final: a, b, c and d stand on it in this order."""
    for number, team in enumerate("abcd"):
        marks = [1] * (9 - 2 * number) + [0] * (1 + 2 * number)
        arena.results.scored(team, marks, marks, 1, 90 - 20 * number)
    arena.results.follow()
    arena.results.close()
    first, other = (arena.results.browser(name, "organiser") for name in ("first", "other"))
    for state in ("provisional", "final"):
        answer = arena.results.decide("publish", {"track": TRACK, "state": state}, first, other)
        assert answer.status_code == 200, answer.text
        arena.clock.pass_seconds(8 * 86_400)
    return arena
