"""The console in a real browser: every page is for everybody; and from a disqualification to stage 2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from edgelm.server import appeals
from edgelm.server.tables import Submission

from ...boards.conftest import TRACK
from ..conftest import PASSWORD, Site
from ..test_browser import CHROMIUM, Eyes, address, chromium, sync_api
from .conftest import RULES, Arena
from .test_console_roles import addresses

__all__ = ["address", "chromium"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (Debian: chromium)")
expect = sync_api.expect


@pytest.fixture
def arena(make_site: Any, serve: Any, clock: Any, address: str) -> Arena:
    """An arena that listens."""
    made: Site = make_site(clock, rules=RULES, phases=(), public_url=address)
    serve(made)
    return Arena(made, clock)


@pytest.fixture
def look(arena: Arena, chromium: Any) -> Iterator[Any]:
    """`look("ada", "organiser")`: a new user at a real browser."""
    made = []

    def sit_down(name: str, role: str) -> Eyes:
        arena.users[name] = arena.site.add_user(name, role)
        eyes = Eyes(chromium, arena.server.settings.public_url)
        made.append(eyes)
        eyes.log_in(name)
        return eyes

    yield sit_down
    for eyes in made:
        eyes.context.close()
        assert not [text for text in eyes.complaints if "Failed to load resource" not in text]


def test_every_page_is_for_everybody(busy: Arena, look: Any) -> None:
    eyes = look("eve", "admin")
    for path in addresses(busy):
        eyes.page.goto(path)
        eyes.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        eyes.look()
    eyes.page.goto("/console/admin")
    eyes.page.get_by_text("Make a key for a machine").click()
    eyes.page.get_by_label("Name").fill("gpu-2")
    eyes.page.get_by_role("button", name="Make the key").click()
    expect(eyes.page.locator(".secret")).to_contain_text("edgelm_w_")
    eyes.look()


def test_the_counts_of_the_queue_are_followed_and_what_is_typed_stays(busy: Arena, look: Any) -> None:
    eyes = look("ada", "organiser")
    eyes.page.goto("/console/queue")
    expect(eyes.page.locator("#counts")).to_contain_text("1 job waiting")
    eyes.page.get_by_label("Reason").fill("half a rea")
    busy.handed_in("green")
    eyes.page.evaluate("htmx.ajax('GET', '/console/queue', {target: '#counts', select: '#counts', swap: 'outerHTML'})")
    expect(eyes.page.locator("#counts")).to_contain_text("2 jobs waiting")
    expect(eyes.page.get_by_label("Reason")).to_have_value("half a rea")


def test_from_a_disqualification_to_stage_2(arena: Arena, look: Any) -> None:
    for number, team in enumerate("abcde"):
        marks = [1] * (9 - 2 * number) + [0] * (1 + 2 * number)
        one = arena.results.scored(team, marks, marks, 1, 90 - 20 * number)
    arena.results.follow()
    ada, bo = look("ada", "organiser"), look("bo", "organiser")

    ada.page.goto("/console/submissions")
    ada.page.get_by_role("link", name="of a", exact=True).click()
    ada.page.get_by_role("link", name="Disqualify…").click()
    ada.page.get_by_label("What shows it").fill("0.41 of 128 neighbours are distinct")
    ada.page.get_by_label("Reason").fill("The weights were quantised.")
    ada.page.get_by_role("button", name="Show what it would change").click()
    expect(ada.page.get_by_role("table", name="Lines of the board")).to_contain_text("rank 1 with")
    ada.look()
    ada.page.get_by_role("button", name="Propose it").click()
    expect(ada.page.get_by_role("status")).to_contain_text("Somebody else must second it")
    ada.look()
    second(bo, "Disqualify")
    assert [line["team"] for line in arena.results.board()["lines"]] == list("bcde")

    arena.results.close()
    again(ada, bo)
    publish(ada, "Publish the provisional board…")
    second(bo, "Publish")
    assert arena.results.board()["state"] == "provisional"

    arena.users["eve"] = arena.site.add_user("eve")
    with arena.server.database.write() as session:
        eve, subject = arena.actor("eve", "participant"), session.get_one(Submission, one)
        appeals.appeal(session, arena.server.rules, eve, subject, "The last question is ambiguous.", arena.clock())
    ada.page.goto("/console")
    ada.page.get_by_role("link", name="Decide them").click()
    ada.look()
    ada.page.get_by_label("Reason, as the team is told").fill("All teams were asked it alike.")
    ada.page.get_by_role("button", name="Decide it").click()
    expect(ada.page.get_by_role("status")).to_contain_text("The appeal is decided")

    arena.clock.pass_seconds(8 * 86_400)
    again(ada, bo)
    publish(ada, "Publish the final board…")
    second(bo, "Publish")
    assert arena.results.board()["state"] == "final"

    ada.page.goto(f"/console/stage2/{TRACK}")
    ada.page.get_by_label("Reason").fill("The board is final.")
    ada.page.get_by_role("button", name="Begin stage 2").click()
    expect(ada.page.get_by_text("3 teams under examination")).to_be_visible()
    ada.look()
    ada.page.get_by_role("link", name="b", exact=True).click()
    for event in ("received", "running"):
        ada.page.get_by_label("Event").select_option(event)
        ada.page.get_by_label("Reason").fill("It came.")
        ada.page.get_by_role("button", name="Say so to the team").click()
    expect(ada.page.get_by_role("heading", name="What was found")).to_be_visible()
    ada.page.get_by_label("Tokens that are the same").fill("1")
    ada.page.get_by_label("In stage 1, of two runs").fill("1")
    ada.page.get_by_role("button", name="Enter it, and see the conditions").click()
    expect(ada.page.get_by_role("table", name="Every condition")).to_contain_text("missed")
    ada.look()


def again(*browsers: Eyes) -> None:
    """Log in anew: it was longer ago."""
    for eyes in browsers:
        eyes.page.goto("/console/boards")
        eyes.page.get_by_label("E-mail address").fill("ada@example.org" if eyes is browsers[0] else "bo@example.org")
        eyes.page.get_by_label("Password", exact=True).fill(PASSWORD)
        eyes.page.get_by_role("button", name="Log in").click()
        expect(eyes.page.get_by_role("heading", level=1)).to_have_text("Boards")


def publish(eyes: Eyes, link: str) -> None:
    """See what a publication would change, and propose it."""
    eyes.page.goto("/console/boards")
    eyes.page.get_by_role("link", name=f"{link} {TRACK}").click()
    eyes.page.get_by_label("Reason").fill("All is settled.")
    eyes.page.get_by_role("button", name="Show what it would change").click()
    eyes.look()
    eyes.page.get_by_role("button", name="Propose it").click()
    expect(eyes.page.get_by_role("status")).to_contain_text("Somebody else must second it")


def second(eyes: Eyes, kind: str) -> None:
    """Second the proposal that waits."""
    eyes.page.goto("/console")
    eyes.page.get_by_role("link", name=re.compile(kind)).click()
    eyes.look()
    eyes.page.get_by_role("button", name="Second it").click()
    expect(eyes.page.get_by_role("status")).to_contain_text("It is seconded and done.")
