"""The page of a board and of a result: what the API says of them, and nothing that it does not say."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest

from ..boards.conftest import TRACK, Competition
from .conftest import EVIL, Browser


@pytest.fixture
def competition(make_site: Any, clock: Any) -> Competition:
    rules = "miniature:tasks=gsm8k+chid+holdout,holdouts=secret,board_ranks=2"
    return Competition(make_site(clock, rules=rules, phases=()).server, clock)


@pytest.fixture
def three(competition: Competition) -> dict[str, str]:
    """Three teams, of which two share a place, and one whose model is too large."""
    return {
        "red": competition.scored("red", (1, 1), (1, 0), 1, 10),
        "blue": competition.scored("blue", (1, 1), (0, 0), 2, 20),
        EVIL: competition.scored(EVIL, (0, 0), None, 3, 90),
        "large": competition.scored("large", (1, 1), (1, 1), 1, 0, memory=2**40),
    }


def rows(text: str, table: str) -> list[str]:
    """The lines of a table's body as text."""
    body = re.search(rf'<caption id="{table}".*?<tbody>(.*?)</tbody>', text, re.DOTALL)[1]
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in body.split("</tr>") if row.strip()]


def test_a_board_that_is_not_open_yet_says_so(competition: Competition) -> None:
    answer = Browser(competition.app).get(f"/board/{TRACK}")
    assert answer.status_code == 200 and "not open yet" in answer.text


def test_it_says_what_the_api_says(competition: Competition, three: dict[str, str]) -> None:
    competition.follow()
    told = competition.board()
    text = Browser(competition.app).get(f"/board/{TRACK}").text
    for line, row in zip(told["lines"], rows(text, "standings"), strict=True):
        assert row.startswith(f"{line['rank']} {line['team']}")
        for result in line["tasks"].values():
            place = {1: "1st", 2: "2nd", None: "–"}[result["place"]]
            assert f"={place}" in row if (result["tied"] or 0) > 1 else place in row
    assert "=1st" in rows(text, "standings")[0]
    assert "1 submission out of competition" in text and rows(text, "out")[0].startswith("large")
    assert "below 12.00 GiB" in text and "host-peak" in text and "So far:" in text
    assert "secret" not in text and "holdout" not in text  # nothing of it before the provisional board
    assert text.count("<svg") == 3 and " style=" not in text


def test_all_teams_are_shown_when_asked_for(competition: Competition) -> None:
    for number in range(4):
        competition.scored(f"team-{number}", (number % 2, 1), (1, 0), number + 1)
    competition.follow()
    browser = Browser(competition.app)
    assert len(rows(browser.get(f"/board/{TRACK}").text, "standings")) == 2 and "Show all 4 teams" in browser.text
    every = re.search(r'href="(\?revision=1[^"]+)">Show all', browser.text)[1].replace("&amp;", "&")
    assert len(rows(browser.get(f"/board/{TRACK}{every}").text, "standings")) == 4 and "Show all" not in browser.text


def test_texts_of_teams_are_texts_on_boards_too(competition: Competition, three: dict[str, str]) -> None:
    competition.follow()
    text = Browser(competition.app).get(f"/board/{TRACK}?every=true").text
    assert EVIL not in text and "<script>" not in text and text.count("&lt;script&gt;") >= 2


def test_revisions_stay_and_tell_what_they_changed(competition: Competition, three: dict[str, str]) -> None:
    competition.follow()
    competition.scored("green", (1, 1), (1, 1), 1)
    competition.follow()
    browser = Browser(competition.app)
    history = rows(browser.get(f"/board/{TRACK}").text, "revisions")
    assert len(history) == 2 and "green: not on it → rank 1" in history[0] and history[0].startswith("2 live")
    assert "green" not in " ".join(rows(browser.get(f"/board/{TRACK}?revision=1").text, "standings"))
    assert browser.get(f"/board/{TRACK}?revision=3").status_code == 404


def test_a_result_is_its_teams_until_the_board_is_provisional(competition: Competition, three: dict[str, str]) -> None:
    competition.follow()
    own, others = competition.browser("ann", team="red"), competition.browser("bob", team="blue")
    for client, status in ((own, 200), (others, 404), (competition.browser(), 404)):
        answer = client.get(f"/result/{three['red']}", headers={"Accept": "text/html"})
        assert answer.status_code == status
    text = own.get(f"/result/{three['red']}", headers={"Accept": "text/html"}).text
    assert "gsm8k" in text and "100.00" in text and "holdout" not in text and "secret" not in text
    assert "tokens/s" in text and "host-peak" in text
    live = Browser(competition.app).get(f"/board/{TRACK}").text
    assert f"/result/{three['red']}" not in live  # a link that would lead nowhere


def test_the_page_of_a_submission_says_what_it_reached(competition: Competition, three: dict[str, str]) -> None:
    red = Browser(competition.app)
    red.http.cookies.update(competition.browser("rosa", team="red").cookies)
    page = f"/submission/{three['red']}"
    assert "once the board has followed" in red.get(page).text
    competition.follow()
    text = red.get(page).text
    assert "on rank 1, with" in text and f'href="/result/{three["red"]}"' in text
    assert {row.split()[0] for row in rows(text, "places")} == set(competition.board()["tasks"])


def test_a_board_is_drawn_once_for_all_its_readers(
    competition: Competition, three: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    competition.follow()
    browser = Browser(competition.app)
    first = browser.get(f"/board/{TRACK}").text
    monkeypatch.setattr("edgelm.server.pages.frame.drawn.scatter", lambda *_, **__: 1 / 0)
    again = browser.get(f"/board/{TRACK}").text
    assert re.findall("<svg.*?</svg>", again, re.DOTALL) == re.findall("<svg.*?</svg>", first, re.DOTALL)


def test_who_was_invited_to_stage_2_is_shown(competition: Competition, three: dict[str, str]) -> None:
    ann, bob = competition.browser("ann", "organiser"), competition.browser("bob", "organiser")
    competition.follow()
    competition.close()
    for state in ("provisional", "final"):
        assert competition.decide("publish", {"track": TRACK, "state": state}, ann, bob).status_code == 200
        competition.clock.pass_seconds(8 * 86_400)
    browser = Browser(competition.app)
    assert "Stage 2" not in browser.get(f"/board/{TRACK}").text
    assert ann.post("/admin/stage2", json={"track": TRACK, "reason": "so"}).status_code == 201
    told = competition.browser().get(f"/stage2/{TRACK}").json()["finalists"]
    shown = rows(browser.get(f"/board/{TRACK}").text, "finalists")
    assert [row.split()[0] for row in shown] == [str(each["rank"]) for each in told] and len(shown) > 0
    assert "signed bundle" in browser.text and "this is the signed order" in browser.text
    assert browser.get(f"/result/{told[0]['submission']}").status_code == 200


def test_claims_stand_beside_what_was_verified(
    competition: Competition, three: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    competition.follow()
    own = competition.browser("ann", team="red")
    path, headers = f"/result/{three['red']}", {"Accept": "text/html"}
    assert "Claimed" not in own.get(path, headers=headers).text
    claimed = {"base": {"gsm8k": Fraction(199, 2), "throughput": Fraction(77)}}
    monkeypatch.setattr("edgelm.server.claims.claimed", lambda *_: claimed)
    text = own.get(path, headers=headers).text
    gsm8k, chid = (next(row for row in rows(text, "tasks-1") if row.startswith(task)) for task in ("gsm8k", "chid"))
    assert gsm8k.startswith("gsm8k 100.00 99.50 +0.50") and chid.startswith("chid 50.00 – –")
    assert "claimed 77.0" in text
