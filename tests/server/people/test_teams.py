"""Teams: up to five people, nobody in two; invitations that are used once; one captain."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from edgelm.server import outbox, teams
from edgelm.server.outbox import Undelivered
from edgelm.server.tables import Invitation, Member, Notice, Phase, Slot, Team, Upload

CERTIFIED = {"only_team": True, "student": False}
RED = {"name": "Red", "tracks": ["compression"], **CERTIFIED}


def register(browser: Any, **changes: Any) -> Any:
    return browser.post("/teams", json={**RED, **changes})


def invite(captain: Any, team: str, email: str) -> Any:
    return captain.post(f"/teams/{team}/invitations", json={"email": email})


def join(browser: Any, team: str, secret: str) -> Any:
    return browser.post(f"/teams/{team}/members", json={"secret": secret, **CERTIFIED})


def at_once(work: Callable[[int], Any], count: int) -> list[Any]:
    """What so many threads got that began together."""
    found: list[Any] = [None] * count
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        ready.wait()
        found[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_team_from_registration_to_its_second_member(site: Any) -> None:
    ann, bob = site.user("ann"), site.user("bob")
    made = register(ann, student=True)
    team = made.json()
    assert made.status_code == 201 and team["tracks"] == ["compression"]
    assert [(member["user"], member["captain"], member["student"]) for member in team["members"]] == [
        (ann.id, True, True)
    ]
    secret = invite(ann, team["id"], "Bob@example.org").json()["secret"]
    joined = join(bob, team["id"], secret)
    assert joined.status_code == 201
    assert [member["captain"] for member in joined.json()["members"]] == [True, False]
    assert bob.get("/me").json()["team"] == team["id"]
    assert bob.get(f"/teams/{team['id']}").json()["invitations"] == []
    with site.server.database.read() as session:
        assert "bob joined Red" in {notice.subject for notice in session.scalars(select(Notice))}


@pytest.mark.parametrize("changes", [
    {"tracks": []}, {"tracks": ["compression", "running"]}, {"only_team": False}, {"student": None}, {"name": ""},
    {"name": "\u202edeR"}, {"name": "!?"},
])  # fmt: skip
def test_what_is_no_team(site: Any, changes: dict[str, Any]) -> None:
    assert register(site.user("ann"), **changes).status_code in (400, 422)


def test_two_names_that_look_alike_are_one(site: Any) -> None:
    assert register(site.user("ann"), name="Ｒéd  Team").status_code == 201
    assert register(site.user("bob"), name="RÉD-TEAM").status_code == 409
    assert register(site.user("bea"), name="red team").status_code == 201


def test_nobody_is_in_two_teams(site: Any) -> None:
    ann, bob = site.user("ann"), site.user("bob")
    red = register(ann).json()["id"]
    blue = register(bob, name="Blue").json()["id"]
    assert register(ann, name="Green").status_code == 409
    assert join(bob, red, invite(ann, red, "bob@example.org").json()["secret"]).status_code == 409
    assert len(bob.get(f"/teams/{blue}").json()["members"]) == 1


def test_who_runs_the_competition_is_in_no_team(site: Any) -> None:
    assert register(site.user("olga", "reviewer")).status_code == 403


def test_a_team_has_at_most_as_many_members_as_the_rules_say(site: Any) -> None:
    team, captain, *_ = site.team("Red", "ann", "bob", "bea")
    for email in ("c@example.org", "d@example.org"):
        assert invite(captain, team, email).status_code == 201
    assert invite(captain, team, "e@example.org").status_code == 409
    assert invite(captain, team, "d@example.org").status_code == 201  # anew: the first one ends
    open_ones = captain.get(f"/teams/{team}").json()["invitations"]
    assert sorted(each["email"] for each in open_ones) == ["c@example.org", "d@example.org"]
    assert captain.delete(f"/teams/{team}/invitations/{open_ones[0]['id']}").status_code == 200
    assert invite(captain, team, "e@example.org").status_code == 201


def test_one_address_gets_few_invitations(site: Any) -> None:
    team, captain = site.team("Red", "ann")
    other, blue = site.team("Blue", "bea")
    answers = [invite(captain, team, "bob@example.org").status_code for _ in range(4)]
    answers += [invite(blue, other, "bob@example.org").status_code for _ in range(2)]
    assert answers == [*[201] * 5, 429] and invite(blue, other, "eve@example.org").status_code == 201


def test_a_team_sends_few_invitations_taken_back_or_not(site: Any) -> None:
    team, captain, member = site.team("Red", "ann", "bob")
    other, blue = site.team("Blue", "bea")
    assert {invite(member, team, "eve@example.org").status_code for _ in range(21)} == {403}  # and uses nothing up
    answers = []
    for number in range(21):
        made = invite(captain, team, f"stranger{number}@example.org")
        answers.append(made.status_code)
        if made.status_code == 201:
            assert captain.delete(f"/teams/{team}/invitations/{made.json()['id']}").status_code == 200
    assert answers == [*[201] * 20, 429] and "20 per 1 day" in made.json()["why"]
    assert captain.get(f"/teams/{team}").json()["invitations"] == []  # the last one is not there either
    assert invite(blue, other, "stranger20@example.org").status_code == 201


def test_a_captain_who_founds_teams_anew_sends_no_more_invitations(site: Any) -> None:
    ann, answers = site.user("ann"), []
    for number in range(6):
        team = register(ann).json()["id"]
        answers += [invite(ann, team, f"stranger{number}-{one}@example.org").status_code for one in range(4)]
        assert ann.delete(f"/teams/{team}/members/{ann.id}").status_code == 200
    assert answers == [*[201] * 20, *[429] * 4]


def test_an_invitation_that_is_taken_back_is_not_sent(site: Any) -> None:
    team, captain = site.team("Red", "ann")
    sent: list[str] = []

    def waiting() -> list[str]:
        with site.server.database.read() as session:
            return list(session.scalars(select(Notice.target).where(Notice.sent.is_(None)).order_by(Notice.target)))

    for name in ("bob", "bea", "eve"):
        made = invite(captain, team, f"{name}@example.org")
        if name == "bob":
            outbox.send(site.server, "mail", lambda notice: sent.append(notice.target))
        if name != "eve":
            captain.delete(f"/teams/{team}/invitations/{made.json()['id']}")
    assert (sent, waiting()) == (["bob@example.org"], ["eve@example.org"])


def test_an_invitation_that_is_taken_back_while_it_is_sent_is_not_sent_again(site: Any, clock: Any) -> None:
    team, captain = site.team("Red", "ann")
    made = invite(captain, team, "bob@example.org").json()["id"]

    def carry(notice: Notice) -> None:
        captain.delete(f"/teams/{team}/invitations/{made}")
        raise Undelivered("later")

    outbox.send(site.server, "mail", carry)
    clock.pass_seconds(3600)
    assert outbox.send(site.server, "mail", lambda notice: pytest.fail("it was taken back")) == 0


def test_an_invitation_is_for_one_address_one_time_and_a_while(site: Any, clock: Any) -> None:
    team, captain = site.team("Red", "ann")
    bob, eve = site.user("bob"), site.user("eve")
    secret = invite(captain, team, "bob@example.org").json()["secret"]
    assert join(eve, team, secret).status_code == 404
    assert join(bob, "another", secret).status_code == 404
    assert join(bob, team, secret + "x").status_code == 404
    assert join(bob, team, secret).status_code == 201
    assert bob.delete(f"/teams/{team}/members/{bob.id}").status_code == 200
    assert join(bob, team, secret).status_code == 404
    late = invite(captain, team, "bob@example.org").json()["secret"]
    clock.pass_seconds(14 * 86400)
    bob = site.again(bob.id)
    assert join(bob, team, late).status_code == 404


def test_an_invitation_is_kept_by_its_digest_and_sent_by_mail(site: Any) -> None:
    team, captain = site.team("Red", "ann")
    key = {"Idempotency-Key": "one"}
    body = {"email": "bob@example.org"}
    secrets = [captain.post(f"/teams/{team}/invitations", json=body, headers=key).json()["secret"] for _ in range(2)]
    assert secrets[0] and secrets[1] == ""
    with site.server.database.read() as session:
        (kept,) = session.scalars(select(Invitation))
        (mail,) = session.scalars(select(Notice).where(Notice.channel == "mail"))
        assert secrets[0] not in kept.sha256 and secrets[0] in mail.link and mail.target == "bob@example.org"


def test_a_captain_hands_over_before_leaving(site: Any) -> None:
    team, ann, bob = site.team("Red", "ann", "bob")
    assert ann.delete(f"/teams/{team}/members/{ann.id}").status_code == 409
    assert bob.put(f"/teams/{team}/captain", json={"user": bob.id}).status_code == 403
    assert ann.put(f"/teams/{team}/captain", json={"user": bob.id}).status_code == 200
    assert ann.delete(f"/teams/{team}/members/{ann.id}").status_code == 200
    assert bob.delete(f"/teams/{team}/members/{bob.id}").status_code == 200
    with site.server.database.read() as session:
        assert session.scalars(select(Team)).all() == []


def test_the_last_of_a_team_that_began_to_hand_in_stays(site: Any) -> None:
    team, ann = site.team("Red", "ann")
    with site.server.database.write() as session:
        session.add(Upload(team_id=team, user_id=ann.id, manifest="0" * 64, track="compression", nonce="",
                           created=0, expires=2**62))  # fmt: skip
    assert ann.delete(f"/teams/{team}/members/{ann.id}").status_code == 409


def test_the_last_of_a_team_that_was_given_a_slot_stays(site: Any) -> None:
    team, ann = site.team("Red", "ann")
    with site.server.database.write() as session:
        session.add(Phase(name="autumn", kind="scored", opens=0, closes=1))
        session.flush()
        session.add(Slot(team_id=team, track="compression", phase="autumn", number=1))
    assert ann.delete(f"/teams/{team}/members/{ann.id}").status_code == 409


def test_a_captain_removes_a_member_and_nobody_the_captain(site: Any) -> None:
    team, ann, bob, bea = site.team("Red", "ann", "bob", "bea")
    olga = site.user("olga", "organiser")
    assert bob.delete(f"/teams/{team}/members/{bea.id}").status_code == 403
    assert ann.delete(f"/teams/{team}/members/{bea.id}", params={"reason": "left us"}).status_code == 200
    assert bea.get(f"/teams/{team}").status_code == 404
    assert olga.delete(f"/teams/{team}/members/{ann.id}").status_code == 409
    assert olga.delete(f"/teams/{team}/members/{bob.id}").status_code == 200
    assert olga.delete(f"/teams/{team}/members/{bob.id}").status_code == 404


def test_other_tracks(site: Any) -> None:
    team, ann = site.team("Red", "ann")
    changed = ann.put(f"/teams/{team}/tracks", json={"tracks": ["from-scratch", "compression"]})
    assert changed.json()["tracks"] == ["compression", "from-scratch"]
    assert ann.put(f"/teams/{team}/tracks", json={"tracks": ["running"]}).status_code == 400


def test_teams_register_while_registration_is_open(site: Any, clock: Any) -> None:
    olga, ann, bob = site.user("olga", "organiser"), site.user("ann"), site.user("bob")
    phase = {"name": "registration", "kind": "registration", "opens": "2024-12-01 AoE",
             "closes": "2025-01-01T01:00:00Z", "reason": "as announced"}  # fmt: skip
    assert olga.post("/admin/phases", json=phase).status_code == 201
    assert register(ann).status_code == 201
    clock.pass_seconds(3600)
    late = register(bob, name="Blue")
    assert late.status_code == 409 and late.json()["code"] == "SUB-01" and "2025-01-01 01:00 UTC" in late.json()["why"]


# At once


def test_of_many_who_take_a_name_one_gets_it(site: Any) -> None:
    browsers = [site.user(f"u{number}") for number in range(8)]
    answers = at_once(lambda number: register(browsers[number]).status_code, 8)
    assert sorted(answers) == [201, *[409] * 7]


def test_an_invitation_that_is_sent_many_times_is_accepted_once(site: Any) -> None:
    team, captain = site.team("Red", "ann")
    bob = site.user("bob")
    secret = invite(captain, team, "bob@example.org").json()["secret"]
    browsers = [site.again(bob.id) for _ in range(8)]
    answers = at_once(lambda number: join(browsers[number], team, secret).status_code, 8)
    assert answers.count(201) == 1 and set(answers) <= {201, 404, 409}
    with site.server.database.read() as session:
        assert len(session.scalars(select(Member)).all()) == 2


def test_a_request_that_is_sent_many_times_is_done_once_and_answered_alike(site: Any) -> None:
    ann = site.user("ann")
    browsers = [site.again(ann.id) for _ in range(8)]
    key = {"Idempotency-Key": "make red"}
    answers = at_once(lambda number: browsers[number].post("/teams", json=RED, headers=key), 8)
    assert {answer.status_code for answer in answers} == {422}  # a key has no spaces
    key = {"Idempotency-Key": "make-red"}
    answers = at_once(lambda number: browsers[number].post("/teams", json=RED, headers=key), 8)
    assert {answer.status_code for answer in answers} == {201} and len({answer.text for answer in answers}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 7
    other = ann.post("/teams", json={**RED, "name": "Blue"}, headers=key)
    assert other.status_code == 409


def test_a_key_is_its_senders_and_ends(site: Any, clock: Any) -> None:
    ann, bob = site.user("ann"), site.user("bob")
    key = {"Idempotency-Key": "k"}
    assert ann.post("/teams", json=RED, headers=key).status_code == 201
    assert bob.post("/teams", json={**RED, "name": "Blue"}, headers=key).status_code == 201
    clock.pass_seconds(86400)
    ann = site.again(ann.id)
    assert ann.post("/teams", json=RED, headers=key).status_code == 409  # done anew: she is in a team


def test_what_was_refused_may_be_sent_again(site: Any) -> None:
    ann, bob = site.user("ann"), site.user("bob")
    register(bob)
    key = {"Idempotency-Key": "k"}
    assert ann.post("/teams", json=RED, headers=key).status_code == 409
    red = bob.get("/me").json()["team"]
    bob.delete(f"/teams/{red}/members/{bob.id}")
    assert ann.post("/teams", json=RED, headers=key).status_code == 201


@pytest.mark.parametrize(("one", "other", "alike"), [
    ("Red", "rEd", True), ("Red", "R e d", True), ("Straße", "STRASSE", True), ("ﬁne", "fine", True),
    ("Red", "Reds", False), ("Rot", "Röt", False), ("红队", "蓝队", False),
])  # fmt: skip
def test_which_names_look_alike(one: str, other: str, alike: bool) -> None:
    assert (teams.key_of(one) == teams.key_of(other)) is alike
