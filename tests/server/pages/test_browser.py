"""What people see and do with a real browser: from an account to an appeal; and that everybody can use every page.

Each page is looked at light and wide, and dark and as on a telephone; axe finds no violation of WCAG 2.2, A or AA.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgelm.archives.zips import zip_tree
from edgelm.server.clock import utc_now
from edgelm.server.tables import Blob, File, Phase

from ..boards.conftest import TRACK, Competition

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_module = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core-python is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PASSWORD = "correct horse battery"
LOOKS = {"light": (1280, 900), "dark": (390, 844)}  # as on a desk, and on a telephone at night
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
DATA = {"data.bin": bytes(range(256)) * 200}  # of several parts
MOST = 10_000  # milliseconds that anything on a page may take
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (Debian: chromium)")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def address() -> str:
    """An address of this machine at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def site(make_site: Any, serve: Any, address: str) -> Any:
    """A site that listens, by the clock of this machine."""
    made = make_site(utc_now, public_url=address)
    serve(made)
    return made


class Eyes:
    """A page of a browser, which is looked at; what scripts complain of is kept."""

    def __init__(self, chromium: Any, base_url: str, **options: Any) -> None:
        self.context = chromium.new_context(base_url=base_url, **options)
        self.context.set_default_timeout(MOST)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())

    def look(self) -> None:
        """See that the page is for everybody, light and wide as well as dark and narrow."""
        for scheme, (width, height) in reversed(LOOKS.items()):
            self.page.set_viewport_size({"width": width, "height": height})
            self.page.emulate_media(color_scheme=scheme)
            found = axe_module.Axe().run(self.page, options={"runOnly": LEVELS})["violations"]
            told = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]
            assert not told, f"{self.page.url} {scheme}: {json.dumps(told, indent=1)}"
            beyond = self.page.evaluate("(e => e.scrollWidth - e.clientWidth)(document.documentElement)")
            assert beyond <= 0, f"{self.page.url}, {width} wide: {beyond} pixels do not fit"

    def go(self, path: str) -> None:
        self.page.goto(path)
        self.look()

    def log_in(self, name: str) -> None:
        self.page.goto("/login")
        self.page.get_by_label("E-mail address").fill(f"{name}@example.org")
        self.page.get_by_label("Password", exact=True).fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()


@pytest.fixture
def eyes(chromium: Any, address: str) -> Iterator[Eyes]:
    made = Eyes(chromium, address)
    yield made
    made.context.close()
    assert not [text for text in made.complaints if "Failed to load resource" not in text]


def test_from_an_account_to_an_appeal(site: Any, eyes: Eyes, make_package: Any) -> None:
    page, expect = eyes.page, sync_api.expect
    page.goto("/register")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("E-mail address").fill("ada@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    eyes.log_in("ada")
    expect(page.get_by_role("status")).to_contain_text("You are logged in")

    page.get_by_role("link", name="Team", exact=True).click()
    page.get_by_label("Name of the team").fill("Red Pandas")
    page.get_by_label("compression").check()
    page.get_by_label("I am in no other team").check()
    page.get_by_role("button", name="Register the team").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Red Pandas")
    eyes.look()

    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_label("Folder of the package").set_input_files(make_package("half", DATA))
    page.get_by_role("button", name="Bring it").click()
    expect(page.get_by_text("slot 1; 2 slots will be free then")).to_be_visible()
    eyes.look()
    page.get_by_role("button", name="Hand it in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("half")
    one = page.url.rpartition("/")[2]

    site.move("accepted", one=one)
    expect(page.locator("#live .state")).to_have_text("accepted")  # without loading the page again
    site.move("queued", one=one)
    site.move("running", one=one, stage="tasks")
    expect(page.locator("#live .state")).to_have_text("running")
    eyes.look()
    site.move("failed", one=one, code="out-of-memory", sentence="it needed 13 GiB", fault="participant")
    expect(page.locator("#live .state")).to_have_text("failed")
    expect(page.get_by_text("it needed 13 GiB")).to_be_visible()

    page.get_by_text("Appeal against how it ended").click()
    page.get_by_label("Why").fill("The limit is 12 GiB on the telephone alone.")
    page.get_by_role("button", name="Appeal").click()
    expect(page.get_by_text("The appeal is made")).to_be_visible()
    eyes.look()


@pytest.mark.parametrize("kind", ["zip", "deflated"])
def test_a_zip_is_brought_in_parts_and_goes_on_after_a_break(
    site: Any, eyes: Eyes, make_package: Any, tmp_path: Path, kind: str
) -> None:
    site.team("ada")
    eyes.log_in("ada")
    folder, packed = make_package("half", DATA), tmp_path / "half.zip"
    if kind == "zip":
        zip_tree(folder, packed)  # as `edgelm pack` writes it
    else:
        shutil.make_archive(str(packed.with_suffix("")), "zip", folder)
    broken = []

    def breaks_once(route: Any) -> None:
        offset = route.request.headers.get("upload-offset")
        if offset == "20000" and not broken:
            broken.append(offset)
            route.abort()
        else:
            route.continue_()

    eyes.page.route(
        "**/tus/*", lambda route: breaks_once(route) if route.request.method == "PATCH" else route.continue_()
    )
    eyes.page.goto("/submit")
    eyes.page.get_by_label("Zip of the package").set_input_files(packed)
    eyes.page.get_by_role("button", name="Bring it").click()
    sync_api.expect(eyes.page.get_by_role("heading", level=1)).to_have_text("Hand it in?")
    assert broken and "are not here" not in eyes.page.content()


def test_what_another_team_brought_is_shown_and_not_sent_again(site: Any, chromium: Any, make_package: Any) -> None:
    package, sent = make_package("half", DATA), []
    site.team("ada")
    site.team("bob", called="Blue", id="blue")
    for name in ("ada", "bob"):
        made = Eyes(chromium, site.server.settings.public_url)
        made.log_in(name)
        sent.append(0)
        made.page.on("request", lambda request: sent.append(sent.pop() + (request.method == "PATCH")))
        made.page.goto("/submit")
        made.page.get_by_label("Folder of the package").set_input_files(package)
        made.page.get_by_role("button", name="Bring it").click()
        sync_api.expect(made.page.get_by_role("heading", level=1)).to_have_text("Hand it in?")
        assert "are not here" not in made.page.content()
        made.context.close()
    assert sent[0] > 5 and sent[1] == 0


def test_what_is_no_package_is_refused_where_it_was_chosen(site: Any, eyes: Eyes, tmp_path: Path) -> None:
    site.team("ada")
    eyes.log_in("ada")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("a")
    eyes.page.goto("/submit")
    eyes.page.get_by_label("Folder of the package").set_input_files(tmp_path / "folder")
    eyes.page.get_by_role("button", name="Bring it").click()
    sync_api.expect(eyes.page.get_by_role("alert")).to_contain_text("there is no edgelm.json")
    eyes.look()


def test_a_smoke_run_from_its_page_to_its_end(site: Any, eyes: Eyes, make_package: Any) -> None:
    page, expect = eyes.page, sync_api.expect
    site.team("ada")
    eyes.log_in("ada")
    eyes.go("/smoke-run")  # not offered
    now = site.server.clock()
    with site.server.database.write() as session:
        session.add(Phase(name="tries", kind="smoke", opens=now, closes=now + 10**12))
    eyes.go("/smoke-run")
    page.get_by_label("Folder of the package").set_input_files(make_package("tiny", DATA))
    page.get_by_role("button", name="Bring it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hand it in?")
    eyes.look()
    eyes.go("/submit")  # where it stands among those begun
    page.get_by_role("link", name="tiny", exact=True).click()
    page.get_by_role("button", name="Have it tried").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("tiny")
    one = page.url.rpartition("/")[2]
    for state in ("accepted", "queued", "running"):
        site.move(state, one=one)
    expect(page.locator("#live .state")).to_have_text("running")
    expect(page.locator("#news")).to_have_text("running")  # for those who hear it
    site.move("scored", one=one)
    expect(page.locator("#live .state")).to_have_text("passed")
    eyes.look()
    eyes.go("/smoke-run")
    expect(page.get_by_role("row", name="tiny")).to_contain_text("passed")


def test_an_upload_that_is_stopped_says_how_it_goes_on(site: Any, eyes: Eyes, make_package: Any) -> None:
    site.team("ada")
    eyes.log_in("ada")
    eyes.page.route("**/tus/*", lambda route: None)  # no answer comes
    eyes.page.goto("/submit")
    eyes.page.get_by_label("Folder of the package").set_input_files(make_package("half", DATA))
    eyes.page.get_by_role("button", name="Bring it").click()
    sync_api.expect(eyes.page.locator("#upload-words")).to_contain_text(re.compile(r"^0 B of .* KiB · "))
    eyes.page.get_by_role("button", name="Stop").click()
    sync_api.expect(eyes.page.get_by_role("alert")).to_contain_text("choose the package again to go on")
    eyes.go("/submit")
    sync_api.expect(eyes.page.get_by_role("row", name="half")).to_contain_text("Give it up")


def test_every_page_is_for_everybody(site: Any, eyes: Eyes) -> None:
    site.team("ada", "bob")
    finding = {"code": "CKP-07", "severity": "W", "path": "models/base/checkpoint/model.bin", "what": "a pickle file",
               "why": "it is never loaded", "mend": "delete it"}  # fmt: skip
    one = site.submission(findings=(finding,))
    site.write_log("loading", "asking")
    for path in ("/", "/dates", "/rule-set", "/login", "/register", "/forgotten", "/reset?secret=x", "/nothing"):
        eyes.go(path)
    eyes.log_in("ada")
    for path in ("/team", "/account", "/submit", "/join?team=red&secret=x", f"/submission/{one}", "/nothing"):
        eyes.go(path)
    eyes.page.goto("/account")
    eyes.page.get_by_role("button", name="Set them up").click()
    eyes.look()


def test_boards_are_for_everybody(make_site: Any, serve: Any, clock: Any, eyes: Eyes, address: str) -> None:
    rules = "miniature:tasks=gsm8k+chid+holdout,holdouts=secret"
    competition = Competition(make_site(clock, rules=rules, phases=(), public_url=address).server, clock)
    serve(competition)
    eyes.go(f"/board/{TRACK}")  # not open yet
    one = competition.scored("a team whose name is as long as names of teams may become, which is long", (1, 1), (1, 0))
    competition.scored("blue", (1, 1), (0, 0), 2, 20)
    competition.scored("large", (1, 1), (1, 1), 1, 0, memory=2**40)
    competition.follow()
    eyes.go(f"/board/{TRACK}")
    for state in ("provisional", "final"):
        competition.close()
        ann, bob = (competition.browser(f"{name}-{state}", "organiser") for name in ("ann", "bob"))
        answer = competition.decide("publish", {"track": TRACK, "state": state}, ann, bob)
        assert answer.status_code == 200, answer.text
        eyes.go(f"/board/{TRACK}")
        competition.clock.pass_seconds(8 * 86_400)
    with competition.server.database.write() as session:
        session.add(Blob(sha256=competition.server.storage.put(b"x"), size=1, created=0))
        session.flush()
        session.add(File(submission_id=one, path="source/train.py", sha256=competition.server.storage.put(b"x")))
    eyes.go(f"/result/{one}")
    eyes.page.get_by_text("What there is").click()
    eyes.look()
    with eyes.page.expect_download() as download:
        eyes.page.get_by_role("link", name="1 file").click()
    assert download.value.suggested_filename == f"{one}-code.tar"


@pytest.mark.parametrize("path", ["/", "/dates"])
def test_all_of_the_dates_are_seen_on_a_phone(site: Any, eyes: Eyes, path: str) -> None:
    eyes.page.set_viewport_size({"width": 390, "height": 844})
    eyes.page.goto(path)
    assert eyes.page.evaluate("(e => e.scrollWidth - e.clientWidth)(document.querySelector('.dates .scroll'))") <= 0


def test_pages_are_used_by_the_keyboard(site: Any, eyes: Eyes) -> None:
    eyes.page.goto("/login")
    eyes.page.keyboard.press("Tab")
    sync_api.expect(eyes.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    eyes.page.keyboard.press("Enter")
    eyes.page.keyboard.press("Tab")
    sync_api.expect(eyes.page.get_by_label("E-mail address")).to_be_focused()


def test_times_are_also_local_and_count_down(site: Any, chromium: Any) -> None:
    made = Eyes(chromium, site.server.settings.public_url, timezone_id="Asia/Tokyo", locale="en-GB")
    made.page.goto("/dates")
    assert "your time" in made.page.locator("tbody time").first.inner_text()
    assert re.search(r"closes in 8 days 23 hours|closes in 9 days", made.page.locator("main").inner_text())
    made.context.close()
