"""A link: words arrive as they were, time limits hold, every failure says what to do."""

from __future__ import annotations

import logging
import shlex
import shutil
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgelm.devices.transport import LOST, Link, Unreachable, last, line, ran
from edgelm.errors import BadOption, EdgelmError, InputError, NoSpace, Unsupported

SHELLS = [shell for shell in ("sh", "mksh", "bash", "busybox") if shutil.which(shell)]
WORDS = st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])), min_size=1, max_size=4)


def in_shell(name: str) -> Link:
    return Link("here", ("busybox", "sh", "-c") if name == "busybox" else (name, "-c"), "/")


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=15, deadline=None)
@given(words=WORDS)
def test_words_arrive_as_they_were(shell: str, words: list[str]) -> None:
    printed = in_shell(shell).script('for word; do printf "%s\\000" "$word"; done', *words)
    assert printed.split("\0")[:-1] == words


def test_a_line_is_parted_into_the_same_words() -> None:
    words = ["a b", "it's", "$HOME", "", "*", "-n", "\n", "守"]
    assert shlex.split(line(words)) == words


def test_what_is_given_to_stdin_comes_out_and_nothing_is_waited_for_without() -> None:
    assert in_shell("sh").run(["cat"], input=b"two\nrows") == "two\nrows"
    assert in_shell("sh").run(["cat"]) == ""


def test_a_command_that_takes_too_long_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(Unreachable, match=r"here did not answer for 0\.2 s") as caught:
        in_shell("sh").run(["sleep", "60"], seconds=0.2)
    assert time.monotonic() - start < 10
    assert "sleep 60" in caught.value.why and "unlock" in caught.value.mend


@pytest.mark.parametrize(("script", "kind", "what", "mend"), [
    ("echo 'cat: No space left on device' >&2; exit 1", NoSpace, "here has no space left", "folder="),
    ("echo 'mkdir: Permission denied' >&2; exit 1", BadOption, "does not permit it: permission denied", "folder="),
    ("echo 'rm: Read-only file system' >&2; exit 1", BadOption, "read-only file system", "folder="),
    ("exec nosuchprogram", Unsupported, "here lacks a program", "install"),
    ("echo first >&2; echo last >&2; exit 3", EdgelmError, "failed on here with exit code 3", "by hand: sh -c"),
    ("exit 3", EdgelmError, "exit code 3", "by hand"),
])  # fmt: skip
def test_what_the_device_refuses_is_explained(script: str, kind: type[EdgelmError], what: str, mend: str) -> None:
    with pytest.raises(kind, match=what) as caught:
        in_shell("sh").script(script)
    assert mend in caught.value.mend and caught.value.why
    assert type(caught.value) is kind


def test_what_the_program_that_carries_it_complains_of_comes_first() -> None:
    def explain(code: int, words: str) -> InputError | None:
        return Unreachable("gone", why=words) if code == LOST else None

    link = Link("here", ("sh", "-c"), "/", explain)
    with pytest.raises(Unreachable, match="gone") as caught:
        link.script("echo Permission denied >&2; exit 255")
    assert caught.value.why == "Permission denied"
    with pytest.raises(BadOption):
        link.script("echo Permission denied >&2; exit 1")


def test_a_carrier_that_was_killed_lost_the_connection() -> None:
    codes: list[int] = []
    link = Link("here", ("sh", "-c", "kill -9 $$", "sh"), "/", lambda code, words: codes.append(code))
    with pytest.raises(EdgelmError):
        link.run(["true"])
    assert codes == [LOST]


def test_bytes_are_fed_whole_and_a_talkative_command_does_not_stop_them() -> None:
    chunks = [bytes([number % 256]) * 100_000 for number in range(30)]
    assert in_shell("sh").feed(["sh", "-c", "tee /dev/stderr | wc -c"], chunks).strip() == "3000000"


def test_feeding_a_command_that_ended_says_why_it_ended() -> None:
    with pytest.raises(NoSpace, match="no space left"):
        in_shell("sh").feed(["sh", "-c", "echo No space left on device >&2; exit 1"], [b"x" * 100_000] * 20)


def test_feeding_a_command_that_takes_nothing_is_given_up() -> None:
    with pytest.raises(Unreachable, match=r"did not answer for 0\.2 s"):
        in_shell("sh").feed(["sh", "-c", "exec sleep 60"], [b"x" * 100_000] * 20, stalled=0.2)


def test_what_takes_too_long_behind_the_last_byte_is_given_up() -> None:
    with pytest.raises(Unreachable, match=r"did not answer for 0\.2 s"):
        in_shell("sh").feed(["sh", "-c", "cat; exec sleep 60"], [b"x"], after=0.2)


def test_feeding_may_take_longer_than_the_time_in_which_something_must_move() -> None:
    def slowly() -> Iterator[bytes]:
        for _ in range(8):
            time.sleep(0.1)
            yield b"x"

    assert in_shell("sh").feed(["cat"], slowly(), stalled=0.5) == "xxxxxxxx"


def test_a_fault_while_feeding_ends_the_command() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise OSError("the disk is broken")

    with pytest.raises(OSError, match="the disk is broken"):
        in_shell("sh").feed(["sh", "-c", "cat; sleep 60"], broken())


def test_a_started_command_is_talked_to() -> None:
    process = in_shell("sh").start(["sh", "-c", 'read word; echo "heard $word"; exit 4'])
    assert process.stdin and process.stdout
    assert process.communicate("yes\n")[0] == "heard yes\n"
    assert process.returncode == 4


def test_commands_are_logged_as_one_would_type_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edgelm.devices.transport")
    link = Link("here", ("sh", "-c"), "/")
    link.run(["echo", "it's"])
    typed = caplog.messages[0].removeprefix("$ ")
    assert typed == link.typed(["echo", "it's"]) and shlex.split(typed) == ["sh", "-c", """echo 'it'"'"'s'"""]


def test_the_last_words_are_the_last_lines() -> None:
    assert last("a\nb\nc\n\n", 2) == "b\nc"
    assert last("") == ""


def test_a_local_program_is_run_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert ran(["sh", "-c", "echo $LC_ALL; exit 2"], "here", 9).stdout == "C\n"
