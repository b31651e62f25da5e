"""A competition as its people hold it, over HTTP, and what is left of it in the end.

Nothing of it is left to chance: the clock moves when it is told to, boards follow their results when they are told to,
and the id of a submission follows from its package. So two servers that hold the same competition, on whatever
databases, publish the same bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from edgelm.checkpoint import Checkpoint
from edgelm.rules import Rules
from edgelm.server import boards, chores
from edgelm.server.client import Client
from edgelm.server.settings import Settings
from edgelm.server.start import first_admin_link, start
from edgelm.server.state import Server
from edgelm.server.tables import Submission
from edgelm.server.worker import loop
from edgelm.server.worker.bench import Bench

from .hosting import Person, hosted

MINUTE, DAY = 60, 86_400  # seconds
TRACKS = ("compression", "from-scratch")
RIVERS = ("Aare", "Bode", "Cher", "Drau", "Elbe", "Fulda", "Garonne", "Havel", "Inn", "Jizera", "Kinzig", "Loire",
          "Main", "Neckar", "Oder", "Po", "Rhone", "Saale", "Tauber", "Ural")  # fmt: skip
OF = {name: TRACKS[:1] if number < 12 else TRACKS[1:] if number >= 16 else TRACKS for number, name in enumerate(RIVERS)}
PHASES = {  # the clock begins with 2025
    "registration": ("registration", "2025-01-01T00:00:00Z", "2025-01-09 AoE"),
    "review": ("preliminary", "2025-01-02T00:00:00Z", "2025-01-09 AoE"),
    "winter": ("scored", "2025-01-15T00:00:00Z", "2025-01-20T00:00:00Z"),
    "proof": ("stage-2", "2025-02-10T00:00:00Z", "2025-03-10 AoE"),
}


@dataclass
class Team:
    """A team, its captain, and the access of the captain's programs."""

    name: str
    tracks: tuple[str, ...]
    id: str
    captain: Person
    client: Client


class Contest:
    """A competition that is held on a server.

    Args:
        url: where it answers.
        server: the same from inside: what it does by itself every few seconds is done here when it is told to.
        clock: its clock.
        key: the public one of the key that it signs with.
    """

    def __init__(self, url: str, server: Server, clock: Any, key: Path) -> None:
        self.url, self.server, self.clock, self.key = url, server, clock, key
        self.transport = httpx.HTTPTransport()
        [self._visitor] = self.people("Visitor")
        self.teams: dict[str, Team] = {}
        self.checkpoints: dict[str, dict[str, str]] = {}  # digests by submission and slot

    @property
    def rules(self) -> Rules:
        """In force."""
        return self.server.rules

    # For all to see

    def get(self, path: str) -> Any:
        """What anybody is told."""
        return self._visitor.get(path)

    def fetch(self, path: str) -> bytes:
        """What anybody can download."""
        answer = self._visitor.send("GET", path)
        assert answer.status_code == 200, (path, answer.text)
        return answer.content

    # Before it begins

    def found(self) -> str:
        """An administrator, another organiser and a reviewer, the dates, a word to all; the key of a worker."""
        self.ada, self.bo, self.rita = self.people("Ada", "Bo", "Rita")
        secret = httpx.URL(first_admin_link(self.server)).params["secret"]
        self.ada.register("/first-admin", secret=secret)
        self.ada.refused("/admin/announcements", {"title": "Too early", "body": "without one-time passwords"}, 403)
        for each in (self.bo, self.rita):
            each.register()
        for each in (self.ada, self.bo, self.rita):
            each.protect()
        for each, role in ((self.bo, "organiser"), (self.rita, "reviewer")):
            self.ada.post(f"/admin/users/{each.id}/role", {"role": role, "reason": "they help"})
            each.log_in()  # a new role ends the logins of the old one
        for name, (kind, opens, closes) in PHASES.items():
            self.bo.post("/admin/phases", {"name": name, "kind": kind, "opens": opens, "closes": closes,
                                           "reason": "the first table of dates"})  # fmt: skip
        self.bo.post("/admin/announcements", {"title": "Welcome", "body": "Registration is open."})
        return str(self.ada.post("/admin/workers", {"name": "one", "tags": []})["key"])

    def people(self, *names: str) -> tuple[Person, ...]:
        """People without accounts."""
        return tuple(Person(self.url, self.clock, name, self.transport) for name in names)

    def register(self, name: str, tracks: tuple[str, ...], *, two: bool) -> None:
        """A team registers, perhaps with a second member, and gets a token for its programs."""
        sure = {"only_team": True, "student": True}
        captain, member = self.people(f"{name} captain", f"{name} member")
        captain.register()
        made = captain.post("/teams", {"name": name, "tracks": list(tracks), **sure})
        if two:
            invitation = captain.post(f"/teams/{made['id']}/invitations", {"email": member.email})
            member.register()
            joined = member.post(f"/teams/{made['id']}/members", {"secret": invitation["secret"], **sure})
            assert [each["captain"] for each in joined["members"]] == [True, False]
        token = captain.post("/tokens", {"name": "laptop", "scopes": ["read", "submit"]})["token"]
        client = Client(self.url, token, waits=(), transport=self.transport)
        self.teams[name] = Team(name, tracks, made["id"], captain, client)
        self.clock.pass_seconds(MINUTE)

    # While packages are taken

    def go_to(self, phase: str) -> None:
        """Wait until a phase opens."""
        self.wait(self._dates(phase)["opens"])

    def close(self, phase: str) -> None:
        """Wait until a phase closes."""
        self.wait(self._dates(phase)["closes"])

    def wait(self, until: int) -> None:
        """Wait until a time in microseconds; then an organiser logs in again."""
        assert until >= self.clock.now
        self.clock.now = until
        self.follow()
        self.ada.log_in()

    def hand_in(self, name: str, package: Path, to: str = "/submissions") -> dict[str, Any]:
        """A team hands a package in; the submission."""
        made = self.teams[name].client.submit(package, to=to).submission
        self.checkpoints[made["id"]] = {path.parent.name: Checkpoint(path).digest
                                        for path in package.glob("models/*/checkpoint")}  # fmt: skip
        self.clock.pass_seconds(MINUTE)
        return made

    def work(self, *benches: Bench) -> list[str]:
        """Workers do all that waits, then the boards follow; the faults that workers have met."""
        said = list[str]()
        loop.run_several(benches, once=True, idle=0.01, say=said.append)
        self.follow()
        self.clock.pass_seconds(MINUTE)
        return [line for line in said if line.startswith(("platform:", "participant:"))]

    def follow(self) -> None:
        """Boards follow the dates and the results, as they do every two seconds."""
        boards.follow(self.server)

    def state(self, submission: Mapping[str, Any]) -> tuple[str, str, str]:
        """What has become of a submission, by whose fault and how its review stands."""
        now = self.ada.get(f"/submissions/{submission['id']}")
        return now["state"], now["fault"], now["review"]

    # Decisions

    def decide(self, path: str, body: Mapping[str, Any], *, alone: bool = False) -> None:
        """One proposes, the other seconds after a fresh login; or one decides alone."""
        self.ada.log_in()
        made = self.ada.post(f"/admin/{path}", {"reason": "as the rules say", **body})
        if not alone:
            self.ada.refused(f"/admin/decisions/{made['id']}/second", {}, 403)
            self.bo.log_in()
            made = self.bo.post(f"/admin/decisions/{made['id']}/second")
        assert made["applied"] is not None

    def appeal(self, name: str, submission: Mapping[str, Any], outcome: str) -> None:
        """A team objects, and an organiser decides."""
        captain = self.teams[name].captain
        captain.log_in()
        made = captain.post(f"/submissions/{submission['id']}/appeals", {"text": "This was not our fault."})
        self.bo.log_in()
        self.bo.post(f"/appeals/{made['id']}/decision", {"decision": outcome, "reason": "we have looked at it"})
        decided = captain.get(f"/submissions/{submission['id']}/appeals")["appeals"]
        assert decided[-1]["decision"] == outcome

    def _dates(self, phase: str) -> Any:
        return next(each for each in self.get("/phases") if each["name"] == phase)


def quick(folder: Path, url: str, rules: str, key: Path) -> Settings:
    """The settings of a server whose people all call from one address, one after the other."""
    return Settings(folder=folder, database=url, rules=rules, signing_key=key, password_memory=8, login_tries=10**6,
                    changes=10**6)  # fmt: skip


@contextlib.contextmanager
def held(settings: Settings, clock: Any) -> Iterator[Contest]:
    """A competition on a new server, to the end of the block."""
    assert settings.signing_key is not None
    with _nothing_by_chance(), hosted(server := start(settings, clock)) as url:
        yield Contest(url, server, clock, settings.signing_key.with_suffix(".pub"))


@contextlib.contextmanager
def _nothing_by_chance() -> Iterator[None]:
    """Servers follow no results by themselves, and ids of submissions follow from their packages."""

    def name(_: object, __: object, fields: dict[str, Any]) -> None:
        fields["id"] = sha256(f"{fields['phase']}/{fields['manifest']}".encode()).hexdigest()[:16]

    with pytest.MonkeyPatch.context() as patch:
        for chore in (chores.follow, chores.compare):
            patch.delitem(chores.CHORES, chore, raising=False)
        event.listen(Submission, "init", name)
        try:
            yield
        finally:
            event.remove(Submission, "init", name)
