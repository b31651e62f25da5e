"""Rules that organisers publish: in force at once, for packages and workers, whatever the settings said before."""

from __future__ import annotations

import dataclasses
import json

import pytest
from sqlalchemy import select

from edgelm.plugins import parse
from edgelm.rules.miniature import Miniature
from edgelm.server import records
from edgelm.server.audit import SYSTEM
from edgelm.server.competition import bring_rules
from edgelm.server.keys import digest
from edgelm.server.refusals import Conflict, Refused
from edgelm.server.settings import Settings
from edgelm.server.start import start
from edgelm.server.tables import Member, Notice, Submission, Worker
from edgelm.server.uploads import read_manifest

WHY = {"reason": "a task has left the list"}


def as_json(rules):
    return json.loads(rules.to_bytes())


@pytest.fixture
def fewer(server):
    return dataclasses.replace(server.rules, tasks=("gsm8k",))


def test_published_rules_are_in_force_at_once(competition, server, ada, fewer):
    competition.scored("red")
    ann = competition.browser("Ann", team="red")
    before = server.rules
    answer = ada.post("/admin/rules", json={"rules": as_json(fewer), **WHY})
    assert (answer.status_code, answer.json()["digest"]) == (201, fewer.digest)
    assert server.rules.digest == fewer.digest != before.digest
    assert competition.browser().get("/competitions").json()[0]["rules"] == fewer.digest
    assert competition.browser().get("/rules").json()[0]["digest"] == fewer.digest
    manifest = {"format": 1, "team": "red", "track": "compression", "rules": before.digest, "title": "t",
                "method": "", "contact": "", "models": {}, "files": [], "claims": "r.csv", "made_by": ""}  # fmt: skip
    with pytest.raises(Refused) as refused:
        read_manifest(json.dumps(manifest).encode(), server.rules, 10**9)
    assert refused.value.code == "SUB-06"
    read_manifest(json.dumps({**manifest, "rules": fewer.digest}).encode(), server.rules, 10**9)
    with server.database.read() as session:
        told = session.scalars(select(Notice).where(Notice.user_id == ann.id)).all()
        assert told == []  # nobody had packed by other rules


def test_no_rules_replace_those_of_a_frozen_board(competition, server, ada, fewer, published, clock):
    competition.scored("red", secret=50)
    competition.follow()
    competition.close()
    competition.log_in(ada)
    before, change = server.rules.digest, {"rules": as_json(fewer), **WHY}
    refused = ada.post("/admin/rules", json=change)
    assert refused.status_code == 409 and "frozen" in refused.json()["what"]
    with pytest.raises(Conflict, match="frozen"), server.database.write() as session:
        bring_rules(session, fewer, "as the settings have it", clock())
    assert server.rules.digest == before
    published("final")
    competition.log_in(ada)
    assert ada.post("/admin/rules", json=change).status_code == 201


def test_a_change_of_rules_is_told_to_teams(server, ada, fewer, competition):
    competition.scored("red")
    ann = competition.browser("Ann", team="red")
    ada.post("/admin/rules", json={"rules": as_json(server.rules), "reason": "the first"})
    competition.clock.pass_seconds(1)
    ada.post("/admin/rules", json={"rules": as_json(fewer), **WHY})
    with server.database.read() as session:
        bodies = {notice.body for notice in session.scalars(select(Notice).where(Notice.user_id == ann.id))}
        assert session.get(Member, ann.id) and len(bodies) == 1 and WHY["reason"] in bodies.pop()


def test_workers_are_told_the_published_rules(competition, server, ada, fewer):
    ada.post("/admin/rules", json={"rules": as_json(fewer), **WHY})
    one = competition.scored("red")
    with server.database.write() as session:
        session.add(Worker(name="w", sha256=digest("edgelm_w_x"), tags=[], created=0))
        found = session.get_one(Submission, one)
        found.state = "accepted"
        records.evaluation(session, SYSTEM, found, 1, 0)
    leased = competition.browser().post("/jobs/lease", json={}, headers={"Authorization": "Bearer edgelm_w_x"}).json()
    assert parse("rules", leased["rules"]).digest == fewer.digest


@pytest.mark.parametrize("broken", [
    {}, {"name": "x"}, {"rules": []}, {"places": 0}, {"places": -1}, {"places": 1.5}, {"places": 2**70},
    {"selection": "by lot"}, {"unknown": 1}, {"tracks": [{"name": "new", "derivation": "compressed", "slots": ["a"]}]},
    {"dtypes": ["F16,name=other"]},
])  # fmt: skip
def test_what_is_no_rule_set_that_a_worker_can_be_told_is_refused(server, ada, broken):
    before = server.rules.digest
    whole = as_json(Miniature()) if broken.keys() - {"name", "rules"} else {}
    assert ada.post("/admin/rules", json={"rules": {**whole, **broken}, **WHY}).status_code == 400
    assert server.rules.digest == before


def test_a_restart_keeps_what_organisers_published_until_the_settings_change(server, ada, fewer, clock):
    settings = server.settings
    for published in (False, True):
        again = start(settings, clock)
        assert (again.rules.digest == fewer.digest) is published
        again.database.close()
        clock.pass_seconds(1)
        ada.post("/admin/rules", json={"rules": as_json(fewer), **WHY})
        clock.pass_seconds(1)
    said = []
    why = {"rules": "miniature:places=3", "rules_reason": "fewer places earn points"}
    changed = start(settings.model_copy(update=why), clock, said.append)
    assert changed.rules.digest == Miniature(places=3).digest == server.rules.digest
    assert fewer.digest[:12] in said[0] and changed.rules.digest[:12] in said[0]
    changed.database.close()


@pytest.mark.parametrize("other", ["neurips-2024", "miniature:places=3"])
def test_a_start_with_other_rules_and_no_reason_is_refused_and_changes_nothing(server, clock, other):
    start(server.settings, clock).database.close()
    before = server.rules.digest
    with pytest.raises(Conflict) as refused:
        start(server.settings.model_copy(update={"rules": other}), clock)
    assert refused.value.exit_code == 2 and "rules_reason" in refused.value.mend and before[:12] in refused.value.why
    assert server.rules.digest == before


def test_a_start_that_asks_for_no_rules_keeps_those_in_force(server, clock):
    start(server.settings, clock).database.close()
    given = {name: getattr(server.settings, name) for name in server.settings.model_fields_set - {"rules"}}
    again = start(Settings(**given), clock)
    assert again.settings.rules == "neurips-2024" and again.rules.digest == parse("rules", server.settings.rules).digest
    again.database.close()
