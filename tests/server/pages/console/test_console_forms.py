"""What organisers do on the console, with a browser that knows no scripts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from edgelm.server.tables import Appeal, Decision, Job, Slot, Submission, Team, User, Webhook, Worker
from edgelm.server.teams import key_of

from ...boards.conftest import TRACK
from ..conftest import PASSWORD, Browser
from .conftest import Arena

WHY = "there was a power cut"
BOARDS = f"/console/boards/{TRACK}"


@pytest.fixture
def ada(busy: Any) -> Browser:
    """An organiser."""
    return busy.user("ada", "organiser")


@pytest.fixture
def bo(busy: Any) -> Browser:
    """Another."""
    return busy.user("bo", "organiser")


@pytest.fixture
def root(busy: Any) -> Browser:
    """An administrator."""
    return busy.user("root", "admin")


def row(arena: Any, table: Any, id: Any) -> Any:
    with arena.server.database.read() as session:
        return session.get_one(table, id)


def preview(browser: Browser, kind: str, **values: str) -> Any:
    """Fill in what a decision is about, and see what it would change."""
    browser.get(f"{BOARDS}/{kind}")
    return browser.send(f"{BOARDS}/{kind}/preview", **values)


def test_the_first_page_says_what_needs_somebody(busy: Any, arena: Any, ada: Browser) -> None:
    text = ada.get("/console").text
    for said in ("The queue is paused", "1 failed job", "1 silent worker", "2 open reviews", "1 proposal to second",
                 "1 open appeal", "no mail server is set"):  # fmt: skip
        assert said in text, said
    assert "Nothing. All is well." not in text


def test_it_says_so_when_nothing_does(arena: Any) -> None:
    ada = arena.user("ada", "organiser")
    assert "Nothing. All is well." in ada.get("/console").text
    assert "Nothing now." in arena.user("rita", "reviewer").get("/console").text


def test_it_says_what_comes_next_on_a_board(arena: Any) -> None:
    ada = arena.user("ada", "organiser")
    arena.results.scored("red", (1, 1), (1, 0), secret=40)
    arena.results.follow()
    assert "Nothing. All is well." in ada.get("/console").text  # it freezes by itself
    arena.results.close()
    ada.log_in("ada")
    assert f"The board of {TRACK} is frozen" in ada.get("/console").text and "All is well" not in ada.text
    first, other = (arena.results.browser(name, "organiser") for name in ("first", "other"))
    assert arena.results.decide("publish", {"track": TRACK, "state": "provisional"}, first, other).status_code == 200
    assert f"The board of {TRACK}" not in ada.get("/console").text  # objections are taken
    arena.clock.pass_seconds(7 * 86_400)
    ada.log_in("ada")
    assert f"The board of {TRACK} is provisional" in ada.get("/console").text and "Publish it as final." in ada.text


@pytest.mark.parametrize(("rules", "there"), [("gsm8k+chid+holdout,holdouts=secret", True), ("gsm8k+chid", False)])
def test_hold_outs_are_named_where_there_are_some(make_site: Any, clock: Any, rules: str, there: bool) -> None:
    arena = Arena(make_site(clock, rules=f"miniature:tasks={rules}", phases=()), clock)
    arena.results.scored("red", secret=40 if there else None)
    arena.results.follow()
    arena.results.close()
    ada = arena.user("ada", "organiser")
    for page in ("/console/boards", f"{BOARDS}/publish?state=provisional"):
        assert ("with the hold-outs" in ada.get(page).text) == there, page
    ada.send(f"{BOARDS}/publish/preview", state="provisional", reason="all is evaluated")
    assert "What it would change" in ada.text and ("The hold-outs are left out" in ada.text) == there


def test_the_queue_is_resumed_and_paused(busy: Any, ada: Browser) -> None:
    ada.get("/console/queue")
    ada.send("/console/queue/resume", reason="")
    assert ada.page.status_code == 422 and "Fill this in." in ada.text
    ada.send("/console/queue/resume", reason=WHY)
    assert "Jobs are leased again." in ada.text
    ada.send("/console/queue/pause", reason=WHY)
    assert "The queue is paused." in ada.text and WHY in ada.text


def test_the_queue_tells_causes_and_which_workers_are_silent(busy: Any, ada: Browser) -> None:
    text = ada.get("/console/queue").text
    assert "worker-lost" in text and "state-silent" in text and 'hx-select="#counts"' in text
    with busy.server.database.write() as session:
        session.get_one(Worker, "gpu-1").seen = busy.clock()
    assert "state-silent" not in ada.get("/console/queue").text


def test_a_job_that_is_not_tried_before_a_time_says_so(busy: Any, ada: Browser) -> None:
    job = busy.job(busy.next)
    assert "not before" not in ada.get("/console/queue").text
    with busy.server.database.write() as session:
        session.get_one(Job, job).not_before = busy.clock() + 30 * 60 * 10**6
    for path in ("/console/queue", f"/console/queue/{job}"):
        assert "not before <time" in re.sub(r"</?d[dt]>", " ", ada.get(path).text).replace("  ", " ").lower()
        assert "2025-01-01 00:32 UTC" in ada.text
    busy.clock.pass_seconds(3600)
    assert "not before" not in ada.get("/console/queue").text


def test_a_failed_job_is_requeued(busy: Any, ada: Browser) -> None:
    job = busy.job(busy.lost)
    ada.get(f"/console/queue/{job}")
    ada.send(f"/console/queue/{job}/requeue", reason=WHY)
    assert "The job waits again." in ada.text and "state-waiting" in ada.text
    assert row(busy, Submission, busy.lost).state == "queued"


def test_a_job_is_put_before_others(busy: Any, ada: Browser) -> None:
    job = busy.job(busy.next)
    ada.get(f"/console/queue/{job}")
    ada.send(f"/console/queue/{job}/priority", priority="x", reason=WHY)
    assert ada.page.status_code == 422 and "Give a whole number." in ada.text
    ada.send(f"/console/queue/{job}/priority", priority="7", reason=WHY)
    assert "The order is changed." in ada.text and row(busy, Job, job).priority == 7


def test_submissions_are_filtered(busy: Any, ada: Browser) -> None:
    text = ada.get("/console/submissions?state=scored").text
    assert busy.one in text and busy.lost not in text
    with busy.server.database.write() as session:
        session.get_one(Team, "green").name, session.get_one(Team, "green").key = "Green Tea", key_of("Green Tea")
    for team in ("green", "Green%20Tea", "green%20tea"):  # its number, its name
        text = ada.get(f"/console/submissions?team={team}").text
        assert busy.lost in text and busy.one not in text
    assert "None." in ada.get("/console/submissions?team=tea").text
    assert "None." in ada.get("/console/submissions?track=from-scratch").text


def test_more_submissions_than_a_page_has_follow_on_the_next(arena: Any) -> None:
    ada = arena.user("ada", "organiser")
    for number in range(51):
        arena.clock.pass_seconds(1)
        arena.results.scored(f"team-{number:02}")
    ada.get("/console/submissions?state=scored")
    assert ada.text.count('<th scope="row"') == 50 and "team-00" not in ada.text
    link = re.search(r'href="(\?[^"]+)">Those before', ada.text)[1].replace("&amp;", "&")
    assert ada.get(f"/console/submissions{link}").text.count('<th scope="row"') == 1 and "team-00" in ada.text


@pytest.mark.parametrize(("what", "said"), [("rerun", "evaluated anew"), ("rescore", "marked anew")])
def test_a_submission_is_evaluated_again(busy: Any, ada: Browser, what: str, said: str) -> None:
    ada.get(f"/console/submissions/{busy.one}")
    ada.send(f"/console/submissions/{busy.one}/{what}", reason=WHY)
    assert said in ada.text and row(busy, Job, busy.job(busy.one)).state == "waiting"


def test_a_submission_is_cancelled_and_its_slot_is_free(busy: Any, ada: Browser) -> None:
    ada.get(f"/console/submissions/{busy.next}")
    ada.send(f"/console/submissions/{busy.next}/cancel", reason=WHY)
    assert "state-cancelled" in ada.text and WHY in ada.text
    with busy.server.database.read() as session:
        assert session.query(Slot).filter_by(submission_id=busy.next).count() == 0


def test_a_review_shows_its_evidence(busy: Any) -> None:
    rita = busy.user("rita", "reviewer")
    text = rita.get(f"/console/reviews/{busy.one}").text
    assert "<dt>per_128</dt><dd>0.41</dd>" in text and text.count("<rect") == 10
    assert "in tenths: 0, 3, 5, 0, 0, 0, 0, 1, 0, 2" in text
    with busy.server.database.write() as session:
        session.get_one(Submission, busy.one).received -= 1
    text = rita.get(f"/console/reviews/{busy.other}").text
    assert f'href="/console/reviews/{busy.one}"' in text and "Alike" in text and "Rule: &lt;script" in text
    alike = text[text.index("Alike") : text.index("Decisions")]
    assert alike.index(busy.one) < alike.index("the first") < alike.index("(this one)")


def test_a_review_is_cleared_by_one(busy: Any) -> None:
    rita = busy.user("rita", "reviewer")
    rita.get(f"/console/reviews/{busy.one}")
    rita.send(f"/console/reviews/{busy.one}/clear", reason="it is the tokenizer")
    assert "The review is cleared" in rita.text and "it is the tokenizer" in rita.text
    assert row(busy, Submission, busy.one).review == "cleared"
    assert busy.one in rita.get("/console/reviews?state=cleared").text
    assert f"/console/reviews/{busy.one}/clear" not in rita.get(f"/console/reviews/{busy.one}").text


def test_a_flag_is_confirmed_by_two(busy: Any) -> None:
    page = f"/console/reviews/{busy.one}"
    rita, rolf = busy.user("rita", "reviewer"), busy.user("rolf", "reviewer")
    rita.get(page)
    assert f"{page}/confirm" not in rita.forms  # before it was shown what that does
    rita.send(f"{page}/preview", offence="quantised", evidence="0.41 are distinct", reason="it was quantised")
    assert "one submission of" in rita.text and "rank 1 with" in rita.text and "the whole team" not in rita.text
    rita.send(f"{page}/confirm")
    assert "Somebody else must second it" in rita.text and "You have proposed this" in rita.text
    rolf.get(page)
    assert "one submission of" in rolf.text and "rank 1 with" in rolf.text
    second = next(action for action in rolf.forms if "/second/" in action)
    assert second not in rita.forms
    rolf.send(second)
    assert "It is seconded and done." in rolf.text
    assert row(busy, Submission, busy.one).review == "confirmed"
    out = {each["submission"] for each in busy.results.board()["ineligible"]}
    assert out == {busy.one}


COPYING = {"offence": "copying", "evidence": "the weights are those of red", "reason": "they were copied"}


def test_an_offence_of_a_team_names_all_that_it_puts_out_before_it_is_proposed_and_seconded(arena: Any) -> None:
    flagged, second = arena.results.scored("herons"), arena.results.scored("herons")
    coming, lost, other = arena.handed_in("herons"), arena.failed("herons"), arena.results.scored("blue")
    arena.results.follow()
    arena.flag(flagged)
    rita, bo = arena.user("rita", "reviewer"), arena.user("bo", "organiser")
    page = f"/console/reviews/{flagged}"

    def named(text: str) -> bool:
        return "the whole team herons" in text and all(one in text for one in (flagged, second, coming)) and not any(
            one in text for one in (lost, other)
        )  # fmt: skip

    rita.get(page)
    rita.send(f"{page}/preview", **COPYING)
    assert named(rita.text), rita.text
    assert {each["id"] for each in rita.http.get("/admin/reviews").json()[0]["decisions"]} == set()  # nothing is done
    rita.send(f"{page}/confirm")
    made = rita.http.get("/admin/reviews").json()[0]["decisions"][0]["id"]
    assert named(bo.get(f"/console/decisions/{made}").text)
    bo.send(f"/console/decisions/{made}/second")
    assert {each["submission"] for each in arena.results.board()["ineligible"]} == {flagged, second}


def test_what_is_out_says_so_on_every_page_and_reinstating_is_preset(arena: Any) -> None:
    flagged, second = arena.results.scored("herons"), arena.results.scored("herons")
    lost = arena.failed("herons")
    arena.results.scored("blue")
    arena.results.follow()
    arena.flag(flagged)
    ada, bo, hal = arena.user("ada", "organiser"), arena.user("bo", "organiser"), arena.user("hal", team="herons")
    pages = [(hal, "/team"), (hal, f"/submission/{second}"), (ada, f"/submission/{second}"),
             (ada, f"/console/submissions/{second}"), (ada, "/console/submissions"),
             (ada, f"/console/reviews/{flagged}")]  # fmt: skip
    said = re.compile(r"<b>Out of competition:</b>|>out of competition: copying")
    for browser, path in pages:
        assert not said.search(browser.get(path).text), path
    page = f"/console/reviews/{flagged}"
    ada.get(page)
    ada.send(f"{page}/preview", **COPYING)
    ada.send(f"{page}/confirm")
    bo.get(page)
    bo.send(next(action for action in bo.forms if "/second/" in action))

    with arena.server.database.read() as session:
        made = session.query(Decision).one().id
    for browser, path in pages:
        text = browser.get(path).text
        assert said.search(text) and "copying" in text, path
        assert ("/board/compression#out" if browser is hal else f"/console/decisions/{made}") in text, path
    assert not said.search(ada.get(f"/console/submissions/{lost}").text)
    assert "board/compression#out" in ada.get(f"/result/{second}").text
    for path in (f"/result/{second}", f"/submission/{second}"):  # from each, organisers find where to reinstate it
        assert f'href="/console/submissions/{second}"' in ada.get(path).text
        assert "/console" not in hal.get(path).text

    text = ada.get(f"/console/submissions/{second}").text
    assert "Nothing was decided about it" not in text
    link = re.search(r'href="(/console/boards/compression/reinstate[^"]+)"', text)[1].replace("&amp;", "&")
    assert re.findall(r'<option value="([^"]+)"', ada.get(link).text) == ["copying"]
    ada.send(f"{BOARDS}/reinstate/preview", offence="copying", reason="red has copied it")
    assert "Back in:" in ada.text and flagged in ada.text and second in ada.text
    ada.send(f"{BOARDS}/reinstate")
    bo.get("/console/boards")
    again = next(one for one in re.findall(r"/console/decisions/([0-9a-f]{16})", bo.text) if one != made)
    bo.get(f"/console/decisions/{again}")
    bo.send(f"/console/decisions/{again}/second")
    for browser, path in pages:
        assert not said.search(browser.get(path).text), path


def test_a_page_for_reinstating_takes_any_number(arena: Any) -> None:
    ada = arena.user("ada", "organiser")
    for number in ("", "x", "0" * 16):
        assert ada.get(f"{BOARDS}/reinstate?submission={number}").status_code == 200


def test_what_needs_a_fresh_login_asks_for_it_and_leads_back(busy: Any, ada: Browser, bo: Browser) -> None:
    page = f"/console/decisions/{busy.proposal}"
    busy.clock.pass_seconds(20 * 60)
    bo.get(page)
    assert f"{page}/second" not in bo.forms
    link = re.search(r'href="(/login\?next=[^"]+)">Log in again', bo.text)[1]
    bo.get(link)
    bo.send("/login/form", email="bo@example.org", password=PASSWORD)
    assert bo.page.url.path == page
    bo.send(f"{page}/second")
    assert "It is seconded and done." in bo.text and row(busy, Decision, busy.proposal).applied


def test_a_form_that_grew_stale_meanwhile_is_refused_and_nothing_is_done(busy: Any, bo: Browser) -> None:
    page = f"/console/decisions/{busy.proposal}"
    bo.get(page)
    busy.clock.pass_seconds(20 * 60)
    bo.send(f"{page}/second")
    assert bo.page.status_code == 401 and "Log in again" in bo.text and not row(busy, Decision, busy.proposal).applied


def test_a_disqualification_is_shown_then_proposed_seconded_and_taken_back(
    busy: Any, ada: Browser, bo: Browser
) -> None:
    ada.get(f"/console/submissions/{busy.one}")
    assert f'href="{BOARDS}/disqualify?submission={busy.one}"' in ada.text and "Reinstate" not in ada.text
    charge = {"submission": busy.one, "offence": "quantised", "evidence": "0.41", "reason": "it was quantised"}
    preview(ada, "disqualify", **charge)
    assert "rank 1 with" in ada.text and "not on it" in ada.text and busy.one in ada.text
    assert busy.results.board()["revision"] == 1  # nothing was done
    ada.send(f"{BOARDS}/disqualify")
    assert "Somebody else must second it." in ada.text
    made = next(link for link in re.findall(r"/console/decisions/[0-9a-f]{16}", ada.text) if busy.proposal not in link)
    assert "You have proposed this" in ada.get(made).text
    assert "rank 1 with" in bo.get(made).text
    bo.send(f"{made}/second")
    assert busy.one in {each["submission"] for each in busy.results.board()["ineligible"]}

    assert "Reinstate: quantised…" in bo.get(f"/console/submissions/{busy.one}").text
    preview(bo, "reinstate", submission=busy.one, offence="quantised", reason="it was not")
    assert "Back in:" in bo.text
    bo.send(f"{BOARDS}/reinstate")
    assert row(busy, Decision, re.search(r"/console/decisions/([0-9a-f]{16})", bo.text)[1]).kind == "reinstate"


def test_a_proposal_is_withdrawn(busy: Any, ada: Browser) -> None:
    ada.get(f"/console/decisions/{busy.proposal}")
    ada.send(f"/console/decisions/{busy.proposal}/withdraw")
    assert "The proposal is withdrawn." in ada.text and "state-withdrawn" in ada.text
    assert f"/console/decisions/{busy.proposal}/second" not in ada.forms


def test_a_task_is_voided_by_one_after_the_difference_was_shown(busy: Any, ada: Browser) -> None:
    preview(ada, "void", task="gsm8k", reason="its answers leaked")
    assert "Void: gsm8k." in ada.text and busy.results.board()["void"] == []
    ada.send(f"{BOARDS}/void")
    assert "the board published anew" in ada.text and busy.results.board()["void"] == ["gsm8k"]
    preview(ada, "lift", task="gsm8k", reason="they had not")
    assert "Counts again: gsm8k." in ada.text


def test_what_cannot_be_done_says_why_before_it_is_proposed(busy: Any, ada: Browser) -> None:
    assert preview(ada, "publish", state="final", reason="so").status_code == 400
    assert "the next state is frozen" in ada.text and 'role="alert"' in ada.text
    assert preview(ada, "void", task="nothing", reason="so").status_code >= 400
    assert preview(ada, "void", task="gsm8k", reason="").status_code == 422 and "Fill this in." in ada.text
    assert f"{BOARDS}/void" not in ada.forms  # it is only asked for once more
    assert ada.get("/console/boards/nothing/void").status_code == 404


def test_an_appeal_is_decided_with_a_reason(busy: Any, ada: Browser) -> None:
    ada.get("/console/appeals")
    action = f"/console/appeals/{busy.appeal}/decide"
    ada.send(action, decision="granted", reason="")
    assert ada.page.status_code == 422
    ada.send(action, decision="granted", reason="you are right")
    assert "The appeal is decided" in ada.text and action not in ada.forms
    assert row(busy, Appeal, busy.appeal).decision == "granted"


def test_dates_are_entered_in_any_zone_and_shown_in_two(busy: Any, ada: Browser) -> None:
    ada.get("/console/competition")
    ada.send("/console/competition/phase", name="winter", kind="scored", opens="2026-02-01 AoE",
             closes="2026-02-10T08:00+09:00", reason=WHY)  # fmt: skip
    assert "The dates are changed" in ada.text
    for shown in ("2026-02-01 12:00 UTC", "2026-02-01 00:00 AoE", "2026-02-09 23:00 UTC"):
        assert shown in ada.text
    ada.send(
        "/console/competition/phase", name="spring", kind="scored", opens="soon", closes="2026-03-01 AoE", reason=WHY
    )
    assert ada.page.status_code == 400 and ada.forms["/console/competition/phase"]["opens"] == ["soon"]
    ada.send("/console/competition/phase/winter/remove", reason=WHY)
    assert "winter" not in ada.text


def test_rules_are_published_from_those_in_force(busy: Any, ada: Browser) -> None:
    ada.get("/console/competition")
    typed = ada.forms["/console/competition/rules"]["rules"][0]
    ada.send("/console/competition/rules", rules="{", reason=WHY)
    assert ada.page.status_code == 400 and "not valid JSON" in ada.text
    ada.send("/console/competition/rules", rules="[]", reason=WHY)
    assert ada.page.status_code == 400 and "no rule set" in ada.text
    ada.send("/console/competition/rules", rules=typed.replace('"places": ', '"places": 1'), reason=WHY)
    assert "The rules are in force" in ada.text and WHY in ada.get("/rule-set").text


def test_a_slot_is_granted_from_a_submission(busy: Any, ada: Browser) -> None:
    ada.get(f"/console/submissions/{busy.lost}")
    link = re.search(r'href="(/console/competition\?[^"#]+)', ada.text)[1].replace("&amp;", "&")
    ada.get(link)
    assert ada.forms["/console/competition/slot"]["team"] == ["green"]
    ada.send("/console/competition/slot", track=TRACK, phase="main", reason=WHY)
    assert "The slot is granted." in ada.text and WHY in ada.text
    with busy.server.database.read() as session:
        assert session.query(Slot).filter_by(team_id="green").count() == busy.server.rules.submissions + 1


def test_something_is_announced(busy: Any, ada: Browser) -> None:
    ada.get("/console/competition")
    ada.send("/console/competition/announcement", title="A day more", body="The disk was full.\n\nSorry.")
    assert "It is announced." in ada.text
    assert "A day more" in busy.site.visitor().get("/").text


def test_the_log_is_filtered_and_checked(busy: Any, ada: Browser) -> None:
    ada.get("/console/audit?action=slot.grant")
    assert ada.text.count('<th scope="row"') == 1 and "slot.grant" in ada.text
    ada.send("/console/audit/verify")
    assert "The chain holds" in ada.text
    with busy.server.database.engine.begin() as connection:
        triggers = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").all()
        for (name,) in triggers:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("UPDATE audit SET reason = 'another' WHERE number = 3")
    ada.send("/console/audit/verify")
    assert "The chain does not hold." in ada.text and "Entry 3 is the first" in ada.text


def test_what_may_be_taken_along_can_be_taken(busy: Any, ada: Browser) -> None:
    ada.get("/console/audit")
    answer = ada.http.get("/admin/export")
    assert 'href="/admin/export"' in ada.text and answer.content[:2] == b"PK"


def test_a_workers_key_is_shown_once(busy: Any, root: Browser) -> None:
    root.get("/console/admin")
    root.send("/console/admin/worker", name="gpu-2", tags="gpu, large")
    key = re.search(r"edgelm_w_[\w-]+", root.text)[0]
    assert row(busy, Worker, "gpu-2").tags == ["gpu", "large"]
    assert key not in root.get("/console/admin").text
    root.send("/console/admin/worker/gpu-2/disable")
    assert "key has ended" in root.text and row(busy, Worker, "gpu-2").disabled
    root.send("/console/admin/worker", name="No Name")
    assert root.page.status_code == 422 and "Check how this is written." in root.text


def test_organisers_see_the_server_and_not_its_people(busy: Any, ada: Browser) -> None:
    text = ada.get("/console/admin").text
    assert "edgelm backup" in text and "lease_seconds" in text and "pia@example.org" not in text
    assert "/console/admin/worker" not in ada.forms and "password" not in text


def test_organisers_webhooks(busy: Any, ada: Browser) -> None:
    ada.get("/console/admin")
    ada.send("/console/admin/webhook", url="https://hooks.example.org/all")
    assert "the secret that signs" in ada.text and "the secret that signs" not in ada.get("/console/admin").text
    ada.send(f"/console/admin/webhook/{busy.webhook}/test")
    assert "A message is on its way there" in ada.text
    ada.send(f"/console/admin/webhook/{busy.webhook}/remove")
    with busy.server.database.read() as session:
        assert session.get(Webhook, busy.webhook) is None


def test_an_account_is_changed_by_an_administrator(busy: Any, root: Browser) -> None:
    user = busy.users["pia"]
    page = f"/console/admin/users/{user}"
    with busy.server.database.write() as session:
        session.get_one(User, user).second_step = 1
    root.get(page)
    root.send(f"{page}/role", role="reviewer", reason=WHY)
    assert "The role is changed." in root.text and row(busy, User, user).role == "reviewer"
    root.send(f"{page}/second-factor", reason=WHY)
    assert "One-time passwords are taken away." in root.text and row(busy, User, user).second_step == 0
    root.send(f"{page}/reset", reason=WHY)
    link = re.search(r"http://[^<]+(/reset\?secret=[^<]+)", root.text)[1]
    assert busy.site.visitor().get(link).status_code == 200
    assert "secret=" not in root.get(page).text
    root.send(f"{page}/disable", reason=WHY)
    assert "The account is shut out." in root.text and row(busy, User, user).disabled
    root.send(f"{page}/enable", reason=WHY)
    assert not row(busy, User, user).disabled


def test_stage_2_from_its_beginning_to_an_award(final: Any) -> None:
    ada = final.user("ada", "organiser")
    page = f"/console/stage2/{TRACK}"
    ada.get(page)
    ada.send(f"{page}/begin", reason="the board is final")
    assert "Stage 2 has begun" in ada.text and "3 teams under examination" in ada.text and "next in order" in ada.text
    ada.get(f"{page}/a")
    ada.send(f"{page}/a/move", event="passed", reason=WHY)
    assert ada.page.status_code == 409 and "what may follow" in ada.text
    for event in ("received", "running"):
        ada.send(f"{page}/a/move", event=event, reason=WHY)
        assert "It is kept; the team is told." in ada.text
    ada.send(f"{page}/a/figures", agreement="x", self_agreement="1")
    assert ada.page.status_code == 422 and "This is no such figure." in ada.text
    found = {"checkpoints.base": "c" * 64, "peaks.base": "1000", "throughput": "100000", "agreement": "1",
             "self_agreement": "99/100", "runs_on_phone": "true", "tasks.gsm8k.score": "90", "tasks.chid.score": "90",
             "tasks.secret.score": "10"}  # fmt: skip
    ada.send(f"{page}/a/figures", **found)
    assert "see the conditions" in ada.text and ada.text.count("state-missed") == 1
    ada.send(f"{page}/a/move", event="passed", reason=WHY)
    assert ada.page.status_code == 409 and "cannot pass" in ada.text
    ada.send(f"{page}/a/figures", **{**found, "tasks.secret.score": "90"})
    assert "state-missed" not in ada.text
    ada.send(f"{page}/a/move", event="passed", reason=WHY)
    ada.get(f"{page}/b")
    ada.send(f"{page}/b/move", event="withdrawn", reason=WHY)
    text = ada.get(page).text
    assert (
        "<b>1st</b>" in text and text.count("state-invited") == 2 and "next in order</small>" not in text
    )  # d has come after b
    assert "1st" in final.site.visitor().get(f"/board/{TRACK}").text


def test_one_more_finalist_is_drawn(final: Any) -> None:
    ada = final.user("ada", "organiser")
    page = f"/console/stage2/{TRACK}"
    ada.get(page)
    ada.send(f"{page}/begin", reason="the board is final")
    ada.send(f"{page}/draw", seed="1 7 19 22 40 43", reason=WHY)
    assert "A finalist is drawn" in ada.text and "drawn by lot" in ada.text and f"{page}/draw" not in ada.forms


def test_stage_2_waits_for_the_final_board(busy: Any, ada: Browser) -> None:
    ada.get(f"/console/stage2/{TRACK}")
    assert "It begins from the final board" in ada.text and f"/console/stage2/{TRACK}/begin" not in ada.forms
    assert ada.get("/console/stage2/nothing").status_code == 404


def test_all_tracks_of_stage_2(final: Any) -> None:
    ada = final.user("ada", "organiser")
    assert "stage 2 may begin" in ada.get("/console/stage2").text
    ada.get(f"/console/stage2/{TRACK}")
    ada.send(f"/console/stage2/{TRACK}/begin", reason="the board is final")
    assert "with 3 teams invited" in ada.get("/console/stage2").text


def test_settings_are_seen_without_secrets(arena: Any) -> None:
    ada = arena.user("ada", "organiser")
    answer = ada.http.get("/admin/health", headers={"Accept": "application/json"}).json()
    assert answer["settings"]["second_factor"] is False and answer["unsent"] == {"mail": 0, "webhook": 0}
    assert answer["database"] == "sqlite" and answer["free"] > 0 and not answer["signs"]
    assert not [name for name in answer["settings"] if re.search("password|key|admin|database", name)]
    assert arena.user("eve").http.get("/admin/health").status_code == 403
