"""What people do on pages, with a browser that knows no scripts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgelm.rules.miniature import Miniature
from edgelm.server import appeals, competition, second_factor
from edgelm.server.audit import SYSTEM
from edgelm.server.tables import Phase, Submission, Team, Worker

from .conftest import DAY, ONE

PASSWORD = "correct horse battery"


def test_from_an_account_to_a_team_of_two(site: Any) -> None:
    red = site.visitor()
    red.get("/register")
    red.send("/register/form", name="Ada", email="ada@example.org", password=PASSWORD)
    assert "Log in now." in red.text
    red.send("/login/form", email="ada@example.org", password=PASSWORD)
    assert "You are logged in" in red.text and "Ada" in red.text
    assert "You are logged in" not in red.get("/").text  # it is said once
    red.get("/team")
    red.send("/team/found", name="Red Pandas", tracks=["compression"], only_team="true")
    assert "you are its captain" in red.text
    red.send("/team/invite", email="blue@example.org")
    assert "Send this link to blue@example.org" in red.text and "gets a mail" not in red.text
    link = re.search(r"http://127.0.0.1:8000(/join\?[^<]+)", red.text)[1].replace("&amp;", "&")

    blue = site.visitor()
    blue.get(link)  # not logged in: the login comes first, then where one wanted
    assert blue.page.url.path == "/login" and "/join" in blue.page.url.query.decode()
    site.add_user("blue")
    blue.send("/login/form", email="blue@example.org", password=PASSWORD)
    assert blue.page.url.path == "/join"
    blue.send("/join/form", only_team="true", student="true")
    assert "You are in the team" in blue.text and "student" in blue.text and "Invite somebody" not in blue.text


def test_a_form_that_is_refused_says_why_and_keeps_what_was_typed(site: Any) -> None:
    browser = site.visitor()
    browser.get("/register")
    browser.send("/register/form", name="Ada", email="ada@example.org", password="hunter2")
    assert browser.page.status_code == 400
    assert "password" in browser.text and "What to do" in browser.text
    assert browser.forms["/register/form"]["name"] == ["Ada"] and "hunter2" not in browser.text


def test_registering_again_does_not_say_who_has_an_account(site: Any) -> None:
    site.add_user("ada")
    answers = []
    for email in ("ada@example.org", "new@example.org"):
        browser = site.visitor()
        browser.get("/register")
        browser.send("/register/form", name="Ada", email=email, password=PASSWORD)
        answers.append(re.sub(r'name="once" value="[^"]+"', "", browser.text))
    assert answers[0] == answers[1] and "Log in now." in answers[0]


def test_fields_are_named_that_cannot_be_taken(site: Any) -> None:
    browser = site.visitor()
    browser.get("/register")
    browser.send("/register/form", name="", email="nobody", password=PASSWORD)
    assert browser.page.status_code == 422
    assert "Fill this in." in browser.text and "Check how this is written." in browser.text
    assert browser.text.count('aria-invalid="true"') == 2
    assert browser.forms["/register/form"]["email"] == ["nobody"]


@pytest.mark.parametrize("where", ["https://evil.example/", "//evil.example", "/\\evil.example", "evil", ""])
def test_a_login_leads_nowhere_else(site: Any, where: str) -> None:
    site.add_user("ada")
    browser = site.visitor()
    browser.get("/login")
    browser.http.follow_redirects = False
    browser.send("/login/form", email="ada@example.org", password=PASSWORD, next=where)
    assert browser.page.status_code == 303 and browser.page.headers["location"] == "/"


def test_a_form_without_its_csrf_field_is_not_taken(site: Any) -> None:
    browser = site.user("ada")
    answer = browser.http.post("/team/found", data={"name": "Red", "tracks": "compression", "only_team": "true"})
    assert answer.status_code == 403 and "out of date" in answer.text and answer.text.startswith("<!doctype html>")
    assert "Found one" in browser.get("/team").text


def test_a_form_that_is_sent_twice_is_done_once(site: Any) -> None:
    browser = site.user("ada")
    browser.get("/account")
    fields = {**browser.forms["/account/token"], "name": "laptop"}
    first, second = (browser.http.post("/account/token", data=fields) for _ in range(2))
    assert len(re.findall("edgelm_t_", first.text)) == 1 and "edgelm_t_" not in second.text
    assert second.text.count('<th scope="row">laptop</th>') == 1


def test_one_time_passwords_from_their_secret_to_a_login(site: Any, clock: Any) -> None:
    browser = site.user("ada")
    browser.get("/account")
    browser.send("/account/second-factor")
    secret = re.search(r'class="secret letters"><code>([A-Z2-7 ]+)</code>', browser.text)[1].replace(" ", "")
    assert "<svg" in browser.text and "otpauth://" in browser.text
    browser.send("/account/second-factor/confirm", code="000000")
    assert "not the current one-time password" in browser.text
    browser.send("/account/second-factor")  # the secret is not shown again, and another is to be had
    secret = re.search(r'class="secret letters"><code>([A-Z2-7 ]+)</code>', browser.text)[1].replace(" ", "")
    browser.send("/account/second-factor/confirm", code=second_factor.code(secret, clock() // (30 * 10**6)))
    assert "One-time passwords are on" in browser.text
    browser.send("/logout/form")
    browser.get("/login")
    browser.send("/login/form", email="ada@example.org", password=PASSWORD)
    assert "one-time password is needed" in browser.text
    clock.pass_seconds(60)
    browser.send("/login/form", password=PASSWORD, code=second_factor.code(secret, clock() // (30 * 10**6)))
    assert "You are logged in" in browser.text


def test_mail_is_promised_only_where_it_is_sent(site: Any, make_site: Any, clock: Any) -> None:
    red = site.team("ada")
    assert "/forgotten/form" not in site.visitor().get("/forgotten").text
    assert "is told here." in red.get("/account").text
    mailing = make_site(clock, (), smtp_host="mail.example.org").visitor().log_in("ada")
    assert "told here and by mail" in mailing.get("/account").text
    mailing.get("/team")
    mailing.send("/team/invite", email="blue@example.org")
    assert "blue@example.org gets a mail with this link" in mailing.text


def test_a_forgotten_password_is_set_anew_by_the_link(make_site: Any, clock: Any) -> None:
    site = make_site(clock, smtp_host="mail.example.org")
    user = site.add_user("ada")
    browser = site.visitor()
    browser.get("/forgotten")
    browser.send("/forgotten/form", email="ada@example.org")
    assert "on its way by mail" in browser.text
    admin = site.user("boss", "admin")
    reset = admin.http.post(f"/admin/users/{user}/reset", json={"reason": "lost"},
                            headers={"X-CSRF-Token": admin.http.get("/me").json()["csrf"]})  # fmt: skip
    browser.get(f"/reset?secret={reset.json()['secret']}")
    browser.send("/reset/form", password="another horse battery")
    browser.send("/login/form", email="ada@example.org", password="another horse battery")
    assert "You are logged in" in browser.text


def test_the_first_administrator_comes_by_the_printed_link(make_site: Any, clock: Any) -> None:
    site = make_site(clock, first_admin="open sesame")
    browser = site.visitor()
    browser.get("/first-admin?secret=wrong")
    browser.send("/first-admin/form", name="Boss", email="boss@example.org", password=PASSWORD)
    assert browser.page.status_code == 404 and "there is no such link" in browser.text.lower()
    browser.get("/first-admin?secret=open%20sesame")
    browser.send("/first-admin/form", name="Boss", email="boss@example.org", password=PASSWORD)
    browser.send("/login/form", email="boss@example.org", password=PASSWORD)
    assert browser.page.url.path == "/account" and "admin" in browser.text


def test_packages_are_checked_by_the_rules_in_force_whatever_the_settings_say(site: Any, clock: Any) -> None:
    red = site.team("ada")
    assert "edgelm check package --rules miniature<" in red.get("/submit").text
    with site.server.database.write() as session:
        competition.publish_rules(session, SYSTEM, Miniature(places=3), "fewer places earn points", clock() + 1)
    assert "edgelm check package --rules miniature:places=3<" in red.get("/submit").text


def test_a_package_is_brought_and_handed_in_without_scripts(site: Any, make_package: Any, tmp_path: Path) -> None:
    red = site.team("ada")
    packed = shutil.make_archive(str(tmp_path / "package"), "zip", make_package("first try"))
    red.get("/submit")
    assert "3 slots free, 20 attempts left." in red.text
    with Path(packed).open("rb") as file:
        red.send("/submit/archive", files={"archive": ("package.zip", file)})
    assert "slot 1; 2 slots will be free then; one of 20 attempts" in red.text and "are not here" not in red.text
    action = next(action for action in red.forms if action.endswith("/hand-in"))
    red.send(action)
    assert "first try" in red.text and "The package is handed in." in red.text and "state-checking" in red.text
    assert "first try" in red.get("/team").text
    red.get("/submit")
    with Path(packed).open("rb") as file:
        red.send("/submit/archive", files={"archive": ("package.zip", file)})
    assert red.page.status_code == 409 and "handed this package in before" in red.text


@pytest.mark.parametrize(("data", "said"), [
    (b"", "no file was chosen"), (b"no archive", "the archive is"), (b"PK\5\6" + bytes(18), "this is no package"),
])  # fmt: skip
def test_what_is_no_package_is_refused_beside_the_form(site: Any, data: bytes, said: str) -> None:
    red = site.team("ada")
    red.get("/submit")
    red.send("/submit/archive", files={"archive": ("package.zip", data)})
    assert red.page.status_code == 400 and said in red.text.lower() and str(site.server.settings.folder) not in red.text


def test_a_file_that_does_not_fit_the_manifest_is_refused(site: Any, make_package: Any, tmp_path: Path) -> None:
    red = site.team("ada")
    folder = make_package()
    readme = folder / "source" / "README.md"
    readme.write_bytes(readme.read_bytes().swapcase())
    packed = shutil.make_archive(str(tmp_path / "package"), "zip", folder)
    red.get("/submit")
    with Path(packed).open("rb") as file:
        red.send("/submit/archive", files={"archive": ("package.zip", file)})
    assert red.page.status_code in (400, 460) and "sha256" in red.text


def test_an_upload_is_given_up(site: Any, make_package: Any, tmp_path: Path) -> None:
    red = site.team("ada")
    packed = shutil.make_archive(str(tmp_path / "package"), "zip", make_package())
    red.get("/submit")
    with Path(packed).open("rb") as file:
        red.send("/submit/archive", files={"archive": ("package.zip", file)})
    page = red.page.url.path
    red.send(f"{page}/give-up")
    assert "The upload is given up" in red.text
    assert red.get(page).status_code == 404


def test_what_the_checker_refused_cost_an_attempt_and_no_slot(site: Any) -> None:
    red = site.team("ada")
    one = f"/submission/{site.submission()}"
    with site.server.database.write() as session:
        session.get_one(Submission, ONE).state = "checking"
    site.move("refused", code="PKG-09", sentence="a weight is missing", fault="participant")
    assert "an attempt is used, and no slot" in red.get(one).text and "its slot is spent" not in red.text


def test_a_submission_is_withdrawn_and_appealed(site: Any) -> None:
    red = site.team("ada")
    one = f"/submission/{site.submission()}"
    red.get(one)
    assert f"{one}/appeal" not in red.forms
    red.send(f"{one}/withdraw")
    assert "The submission is taken back" in red.text and "state-withdrawn" in red.text
    assert f"{one}/withdraw" not in red.forms
    red.send(f"{one}/appeal", text="It was\nnot meant.")
    assert "The appeal is made" in red.text and "not meant." in red.text
    assert f"{one}/appeal" not in red.forms  # one at a time


def test_what_is_over_is_not_offered(site: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    red = site.team("ada")
    one = f"/submission/{site.submission()}"
    for state in ("running", "scored"):
        site.move(state)
    red.get(one)
    assert {f"{one}/withdraw", f"{one}/appeal"} <= red.forms.keys()
    last = clock() + DAY
    monkeypatch.setattr(appeals, "deadline", lambda *_: last)
    clock.pass_seconds(9 * 86_400)  # the phase has closed, and the time of objections is over
    red.log_in("ada")
    assert "They were taken until" in red.get(one).text
    assert not {f"{one}/withdraw", f"{one}/appeal"} & red.forms.keys()


@pytest.mark.parametrize(("tracks", "opens", "said"), [
    (["from-scratch"], 0, "Your team is not registered for this track"), (["compression"], DAY, "autumn opens on"),
    (["compression"], -10 * DAY, "none is to come"),
])  # fmt: skip
def test_why_nothing_can_be_handed_in_is_said(
    site: Any, clock: Any, make_package: Any, tmp_path: Path, tracks: list[str], opens: int, said: str
) -> None:
    red = site.team("ada")
    bring(red, shutil.make_archive(str(tmp_path / "package"), "zip", make_package()))
    page = red.page.url.path
    with site.server.database.write() as session:
        session.get_one(Team, "red").tracks = tracks
        phase = session.get_one(Phase, "autumn")
        phase.opens, phase.closes = clock() + opens, clock() + opens + 5 * DAY
    assert said in red.get("/submit").text and said in red.get(page).text and "The upload is kept." in red.text


def test_a_login_that_has_ended_is_said(site: Any, clock: Any) -> None:
    red = site.user("ada")
    clock.pass_seconds(13 * 3600)
    assert "Your login has ended" in red.get("/team").text
    assert "Your login has ended" not in site.visitor().get("/team").text


@pytest.mark.parametrize(("install", "said"), [
    ("", "as its README says"), ("pip install git+https://x.org/y", "<code>pip install git+https://x.org/y</code>"),
    ("https://example.org/how", '<a href="https://example.org/how">'),
])  # fmt: skip
def test_the_first_page_says_how_to_install(make_site: Any, clock: Any, install: str, said: str) -> None:
    assert said in make_site(clock, install=install).visitor().get("/").text


def test_members_are_managed_by_their_captain(site: Any) -> None:
    red = site.team("ada", "bob", "eve")
    red.get("/team")
    remove = [action for action in red.forms if action.endswith("/remove")]
    assert len(remove) == 2
    red.send(remove[0])
    assert "The member is removed" in red.text
    red.send("/team/tracks", tracks=["from-scratch"])
    assert "Takes part in from-scratch." in red.text
    red.send("/team/leave")
    assert red.page.status_code == 409 and "does not leave the others" in red.text
    red.send("/team/captain")
    assert "handed over" in red.text and "/team/invite" not in red.forms
    red.send("/team/leave")
    assert "You have left the team" in red.text and "Found one" in red.text


def test_the_teams_messages_are_posted_where_its_captain_says(site: Any) -> None:
    red = site.team("ada", "bob")
    red.get("/team")
    red.send("/team/webhook", url="http://127.0.0.1/hook")
    assert red.page.status_code == 400 and "nothing can be posted there" in red.text.lower()
    red.send("/team/webhook", url="https://hooks.example.org/edgelm")
    assert "the secret that signs" in red.text
    assert "the secret that signs" not in red.get("/team").text  # it is shown once
    red.send(next(action for action in red.forms if action.endswith("/test")))
    assert "A message is on its way there" in red.text
    assert "/team/webhook" not in site.visitor().log_in("bob").get("/team").text
    red.send(next(action for action in red.forms if action.startswith("/team/webhook/") and action.endswith("/remove")))
    assert "hooks.example.org" not in red.text


def test_material_of_stage_2_is_for_those_who_were_invited(site: Any, make_package: Any, tmp_path: Path) -> None:
    now = site.server.clock()
    with site.server.database.write() as session:
        session.add(Phase(name="stage-two", kind="stage-2", opens=now, closes=now + 10**9))
    red = site.team("ada")
    packed = shutil.make_archive(str(tmp_path / "package"), "zip", make_package())
    red.get("/submit")
    with Path(packed).open("rb") as file:
        red.send("/submit/archive", files={"archive": ("package.zip", file)})
    red.send(next(action for action in red.forms if action.endswith("/material")))
    assert red.page.status_code in (403, 404, 409) and 'role="alert"' in red.text


def bring(browser: Any, packed: str, page: str = "/submit") -> None:
    browser.get(page)
    with Path(packed).open("rb") as file:
        browser.send(f"{page}/archive", files={"archive": ("package.zip", file)})


def test_begun_uploads_stand_where_they_go_on_and_are_given_up(site: Any, make_package: Any, tmp_path: Path) -> None:
    red = site.team("ada")
    assert "Begun and not handed in" not in red.get("/submit").text
    package = make_package("half way", {"data.txt": bytes(range(250)) * 10})
    manifest = (package / "edgelm.json").read_bytes()
    (package / "source" / "data.txt").unlink()  # as if only a part of the files had come
    bring(red, shutil.make_archive(str(tmp_path / "package"), "zip", package))
    assert "1 file" in red.text and "are not here" in red.text and "<dd>half way</dd>" in red.text
    assert "1 upload begun and <b>not handed in</b>" in red.get("/team").text
    red.get("/submit")
    assert "half way" in red.text and "2.44 KiB of" in red.text and "in 1 file" in red.text
    assert manifest not in red.page.content
    red.send(next(action for action in red.forms if action.endswith("/give-up")))
    assert "The upload is given up" in red.text and "half way" not in red.text


def test_a_smoke_run_is_asked_for_and_its_end_is_seen(site: Any, make_package: Any, tmp_path: Path) -> None:
    red = site.team("ada")
    assert "Smoke runs are not offered now" in red.get("/smoke-run").text and "/smoke-run/archive" not in red.forms
    now = site.server.clock()
    with site.server.database.write() as session:
        session.add(Phase(name="tries", kind="smoke", opens=now, closes=now + 10**12))
    assert "5 of 5 runs in 24 hours are left" in red.get("/smoke-run").text
    bring(red, shutil.make_archive(str(tmp_path / "package"), "zip", make_package("tiny")), "/smoke-run")
    red.send(next(action for action in red.forms if action.endswith("/smoke")))
    one = red.page.url.path
    assert one.startswith("/submission/") and "taken for a smoke run" in red.text and "tries" in red.text
    assert "4 of 5 runs" in red.get("/smoke-run").text and "tiny" in red.text and "state-checking" in red.text
    for state in ("accepted", "queued", "running", "scored"):
        site.move(state, one.rpartition("/")[2])
    assert "state-passed" in red.get("/smoke-run").text and "state-passed" in red.get(one).text
    assert "/result/" not in red.text  # there is none of what does not count
    assert "3 slots free, 20 attempts left." in red.get("/submit").text


def test_what_is_no_package_is_refused_beside_the_form_of_smoke_runs(site: Any) -> None:
    red = site.team("ada")
    now = site.server.clock()
    with site.server.database.write() as session:
        session.add(Phase(name="tries", kind="smoke", opens=now, closes=now + 10**12))
    red.get("/smoke-run")
    red.send("/smoke-run/archive", files={"archive": ("package.zip", b"no archive")})
    assert red.page.status_code == 400 and "the archive is" in red.text.lower() and "<h1>Smoke run</h1>" in red.text


def test_smoke_runs_that_are_used_up_are_not_offered(
    make_site: Any, clock: Any, make_package: Any, tmp_path: Path
) -> None:
    site = make_site(clock, smoke_runs=1)
    with site.server.database.write() as session:
        session.add(Phase(name="tries", kind="smoke", opens=clock(), closes=clock() + 10**12))
    red = site.team("ada")
    bring(red, shutil.make_archive(str(tmp_path / "one"), "zip", make_package("one")))
    action = next(action for action in red.forms if action.endswith("/smoke"))
    red.send(action)
    assert "0 of 1 runs" in red.get("/smoke-run").text and "/smoke-run/archive" not in red.forms
    bring(red, shutil.make_archive(str(tmp_path / "two"), "zip", make_package("two")))
    assert not any(action.endswith("/smoke") for action in red.forms)


def test_a_submission_that_waits_says_for_how_long(site: Any, clock: Any) -> None:
    red = site.team("ada")
    one = f"/submission/{site.submission()}"
    assert "unknown: no worker is at work" in red.get(one).text
    with site.server.database.write() as session:
        session.add(Worker(name="gpu-1", sha256="0" * 64, tags=[], created=0, seen=clock()))
    assert "in less than a minute, about" in red.get(f"{one}/live").text
    site.move("running")
    assert "next in turn" in red.get(one).text  # until its job is leased


def test_who_asks_too_often_is_told_on_a_page_when_to_come_back(make_site: Any, clock: Any) -> None:
    browser = make_site(clock, changes=1).visitor()
    browser.get("/forgotten")
    for _ in range(2):
        answer = browser.http.post("/forgotten/form", data={"email": "ada@example.org"})
    assert (answer.status_code, answer.headers["content-type"]) == (429, "text/html; charset=utf-8")
    assert answer.headers["Retry-After"] in re.search(r"wait (\d+) seconds", answer.text)[1]
