"""Rules, dates and announcements: published, told to all, and which phase it is now."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from edgelm.files import sha256_bytes
from edgelm.plugins import parse
from edgelm.server import competition, phases
from edgelm.server.audit import SYSTEM
from edgelm.server.database import Database
from edgelm.server.refusals import Conflict
from edgelm.server.tables import Notice, Phase, Slot

HOUR = 3600 * 10**6
MAIN = {"name": "main", "kind": "scored", "opens": "2025-01-01T01:00:00Z", "closes": "2025-01-02 AoE", "reason": "new"}


def put(browser: Any, **changes: Any) -> Any:
    return browser.post("/admin/phases", json={**MAIN, **changes})


def test_rules_are_published_byte_for_byte(site: Any, clock: Any) -> None:
    _, captain = site.team("Red", "ann")
    rules = site.server.rules
    shorter = parse("rules", "neurips-2024:places=3")
    for each, reason in ((rules, "first"), (rules, "again"), (shorter, "fewer places"), (rules, "as before")):
        clock.pass_seconds(1)
        with site.server.database.write() as session:
            competition.publish_rules(session, SYSTEM, each, reason, clock())
    listed = captain.get("/rules").json()
    assert [(row["digest"], row["reason"]) for row in listed] == [
        (rules.digest, "as before"), (shorter.digest, "fewer places"),
    ]  # fmt: skip
    body = captain.get(f"/rules/{shorter.digest}").content
    assert sha256_bytes(body) == shorter.digest and body == shorter.to_bytes()
    assert captain.get(f"/rules/{'0' * 64}").status_code == 404
    with site.server.database.read() as session:
        told = [notice.body for notice in session.scalars(select(Notice).where(Notice.channel == "mail"))]
    assert len(told) == 2 and "fewer places" in "".join(told)  # nothing before changed for anyone


def test_a_phase_is_open_from_its_first_instant_and_before_its_last(database: Database) -> None:
    with database.write() as session:
        session.add(Phase(name="main", kind="scored", opens=10, closes=20))
        session.add(Phase(name="early", kind="preliminary", opens=0, closes=15))
    with database.read() as session:
        found = {now: getattr(phases.scored(session, now), "name", None) for now in (9, 10, 19, 20)}
        assert found == {9: None, 10: "main", 19: "main", 20: None}
        assert phases.require(session, "preliminary", 14).name == "early"
        with pytest.raises(Conflict, match="no scored phase is open") as refused:
            phases.require(session, "scored", 20, "SUB-02")
        assert refused.value.code == "SUB-02" and "closed on 1970-01-01 00:00 UTC" in refused.value.why
        with pytest.raises(Conflict) as refused:
            phases.require(session, "scored", 9)
        assert "opens on" in refused.value.why


def test_dates_are_shown_in_both_clocks_and_told(site: Any, clock: Any) -> None:
    olga = site.user("olga", "organiser")
    site.team("Red", "ann", "bob")
    made = put(olga)
    assert made.status_code == 201 and made.json()["open"] is False
    assert made.json()["shown"][1] == "2025-01-03 12:00 UTC (2025-01-03 00:00 AoE)"
    clock.pass_seconds(3600)
    (listed,) = site.browser().get("/phases").json()
    assert listed["open"] and listed["opens"] == clock.now
    with site.server.database.read() as session:
        assert len(session.scalars(select(Notice).where(Notice.subject == "Dates of main")).all()) == 4


@pytest.mark.parametrize(("changes", "status"), [
    ({"opens": "2025-01-01 12:00"}, 400), ({"opens": "2025-01-03T12:00:00Z"}, 400), ({"closes": "soon"}, 400),
    ({"opens": "0001-01-01T00:00:00+12:00"}, 400), ({"closes": "9999-12-31 AoE"}, 400), ({"kind": "final"}, 422),
    ({"name": "A B"}, 422), ({"reason": ""}, 422), ({"opens": 5}, 422), ({"opens": "٢٠٢٥-01-01 AoE"}, 400),
    ({"name": "other"}, 409), ({"name": "other", "kind": "preliminary"}, 201), ({"kind": "preliminary"}, 409),
    ({"name": "other", "opens": "2025-01-03 AoE", "closes": "2025-01-04 AoE"}, 201), ({}, 201),
])  # fmt: skip
def test_which_dates_are_taken(site: Any, changes: dict[str, Any], status: int) -> None:
    olga = site.user("olga", "organiser")
    put(olga)
    assert put(olga, **changes).status_code == status


def test_a_phase_that_was_handed_in_to_stays(site: Any) -> None:
    olga = site.user("olga", "organiser")
    team, _ = site.team("Red", "ann")
    put(olga)
    with site.server.database.write() as session:
        session.add(Slot(team_id=team, track="compression", phase="main", number=1))
    assert olga.delete("/admin/phases/main").status_code == 409
    with site.server.database.write() as session:
        session.delete(session.get(Slot, (team, "compression", "main", 1)))
    assert olga.delete("/admin/phases/main").status_code == 200
    assert olga.delete("/admin/phases/main").status_code == 404


def test_announcements_reach_everyone_once(site: Any) -> None:
    olga = site.user("olga", "organiser")
    site.team("Red", "ann", "bob")
    key = {"Idempotency-Key": "k"}
    for _ in range(2):
        sent = olga.post("/admin/announcements", json={"title": "Hello", "body": "a\nb"}, headers=key)
        assert sent.status_code == 201
    (shown,) = site.browser().get("/announcements").json()
    assert (shown["title"], shown["body"]) == ("Hello", "a\nb")
    with site.server.database.read() as session:
        notices = [(notice.channel, notice.event) for notice in session.scalars(select(Notice))]
    assert sorted(notices) == sorted((channel, shown["id"]) for channel in ("mail", "page") for _ in range(2))
