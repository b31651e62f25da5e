"""A runner on a device: started, talked to, ended with the connection; what goes wrong is told apart."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgelm.bundle import Bundle
from edgelm.devices.remote import look
from edgelm.devices.remote_runner import started
from edgelm.devices.transport import LOST, Link, Unreachable
from edgelm.errors import BadFile, EdgelmError, InputError, Unsupported

MakeBundle = Callable[..., Bundle]


def running(link: Link) -> list[int]:
    """The processes of programs of ours that run, by the system's word."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(link.folder.encode()) and word.endswith(b"/runner") for word in words[:4]):
            found.append(int(command.parent.name))
    return found


def wait_for(true: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def ask(link: Link, bundle: Bundle, **options: Any) -> list[int]:
    with started(link, bundle, context=9, **options) as runner:
        return runner.generate([1], 2).ids


@pytest.mark.parametrize("shell", ["sh", "mksh", "busybox"])
def test_it_answers_and_nothing_of_it_stays(shell: str, link: Link, bundle_of: MakeBundle, tmp_path: Path) -> None:
    if not (where := shutil.which(shell)):
        pytest.skip(f"no {shell}: apt-get install mksh busybox")
    if shell != "sh":
        (tmp_path / "sh").write_text(f'#!/bin/sh\nexec {where} {"sh" if shell == "busybox" else ""} "$@"\n')
        (tmp_path / "sh").chmod(0o755)
        link = dataclasses.replace(link, prefix=("env", f"PATH={tmp_path}:{os.environ['PATH']}", *link.prefix))
    told: list[str] = []
    with started(link, bundle_of(), context=99, threads=3, progress=lambda what, *_: told.append(what)) as runner:
        assert (runner.ready.context, runner.ready.threads) == (99, 3)
        assert runner.tokenize("ab") == [97, 98]
        assert running(link) and list(Path(link.folder, "run").glob("*/runner"))
    assert told[-1] == "loading the model"
    wait_for(lambda: not running(link))
    wait_for(lambda: not list(Path(link.folder, "run").glob("*/runner")))


def test_it_starts_again_without_pushing(link: Link, bundle_of: MakeBundle) -> None:
    told: list[str] = []
    for _ in range(2):
        with started(link, bundle_of(), context=9, progress=lambda what, *_: told.append(what)) as runner:
            assert runner.memory()["VmHWM"]
    assert told.count("pushing runner") == 1


def test_words_before_the_program_start_it(link: Link, bundle_of: MakeBundle, tmp_path: Path) -> None:
    launch = ("sh", "-c", f'echo "$0" > {tmp_path}/started; exec "$0" "$@"')
    with started(link, bundle_of(), context=9, launch=launch):
        pass
    assert (tmp_path / "started").read_text().strip().endswith("/runner")


def test_a_bundle_that_is_not_kept_is_removed_however_it_ended(link: Link, bundle_of: MakeBundle) -> None:
    with started(link, bundle_of(), context=9, keep=0):
        assert look(link).bundles
    assert not look(link).bundles and not look(link).files
    with pytest.raises(Unsupported), started(link, bundle_of(large=True), context=9, keep=0):
        pass
    assert not look(link).bundles and not look(link).files


# What ends it


def test_when_the_connection_ends_so_does_a_program_that_computes(link: Link, bundle_of: MakeBundle) -> None:
    """The program reads no stdin then."""
    with pytest.raises(EdgelmError), started(link, bundle_of(hang=60), context=9) as runner:
        process = runner._process
        assert isinstance(process, subprocess.Popen) and process.stdin
        process.stdin.write('{"op": "generate", "ids": [1], "max_tokens": 1}\n')
        process.stdin.flush()
        assert running(link)
        process.stdin.close()
        wait_for(lambda: not running(link))
        runner.memory()


def test_one_that_the_system_ends_is_out_of_memory(link: Link, bundle_of: MakeBundle) -> None:
    with pytest.raises(Unsupported, match="the system of here ended the program") as caught:
        ask(link, bundle_of(die=9))
    assert "memory is full" in caught.value.why and "compress further" in caught.value.mend
    assert not list(Path(link.folder, "run").glob("*/runner"))


def test_one_that_crashes_is_our_fault_and_its_last_words_are_kept(link: Link, bundle_of: MakeBundle) -> None:
    with pytest.raises(EdgelmError, match="the runner has ended") as caught:
        ask(link, bundle_of(die=6))
    assert not isinstance(caught.value, InputError)
    assert "134" in caught.value.why and "a word of the runner" in caught.value.why


def test_a_program_that_the_device_cannot_run_is_told(link: Link, bundle_of: MakeBundle) -> None:
    with pytest.raises(Unsupported, match="here cannot run the bundle's program") as caught:
        ask(link, bundle_of(), launch=("nosuchprogram",))
    assert "nosuchprogram" in caught.value.why and "launch=" in caught.value.mend


def test_a_program_that_ends_before_its_input_is_there_is_told_too(
    link: Link, bundle_of: MakeBundle, tmp_path: Path
) -> None:
    (tmp_path / "sh").write_text('#!/bin/sh\ncase $2 in *"; exec cat") sleep 0.3;; esac\nexec /bin/sh "$@"\n')
    (tmp_path / "sh").chmod(0o755)
    slow = dataclasses.replace(link, prefix=("env", f"PATH={tmp_path}:{os.environ['PATH']}", *link.prefix))
    with pytest.raises(Unsupported, match="here cannot run the bundle's program"):
        ask(slow, bundle_of(), launch=("nosuchprogram",), time_limit=10)


def test_a_lost_connection_is_no_fault_of_the_program(link: Link, bundle_of: MakeBundle) -> None:
    def explain(code: int, words: str) -> InputError | None:
        return Unreachable("gone", why=words) if code == LOST else None

    lost = dataclasses.replace(link, explain=explain)
    leave = ("sh", "-c", '"$0" "$@"; exit 255')
    with pytest.raises(Unreachable, match="gone") as caught:
        ask(lost, bundle_of(die=6), launch=leave)
    assert "a word of the runner" in caught.value.why


def test_one_that_takes_too_long_is_ended(link: Link, bundle_of: MakeBundle) -> None:
    with pytest.raises(Unsupported, match=r"here was not done after 1\.5 s") as caught:
        ask(link, bundle_of(hang=60), time_limit=1.5)
    assert "time_limit" in caught.value.mend
    wait_for(lambda: not running(link))


def test_a_fault_of_who_asks_passes_and_ends_it(link: Link, bundle_of: MakeBundle) -> None:
    with pytest.raises(ZeroDivisionError), started(link, bundle_of(), context=9):
        raise ZeroDivisionError
    wait_for(lambda: not running(link))


# Models that do not load


def test_a_model_that_is_too_large_is_refused_in_the_runners_words(link: Link, bundle_of: MakeBundle) -> None:
    with (
        pytest.raises(Unsupported, match="the model needs more memory"),
        started(link, bundle_of(), context=9, memory_limit=1000),
    ):
        pass
    with started(link, bundle_of(), context=9, memory_limit=10**9) as runner:
        assert runner.ready


def test_a_model_that_was_damaged_on_the_device_is_pushed_anew(link: Link, bundle_of: MakeBundle) -> None:
    good = bundle_of()
    bundle = bundle_of(check=good.listing.files["model.gguf"].sha256)
    with started(link, bundle, context=9):
        pass
    stored = Path(link.folder, "store", bundle.listing.files["model.gguf"].sha256)
    stored.write_bytes(b"A" + stored.read_bytes()[1:])  # of the same size
    with pytest.raises(BadFile, match=r"model\.gguf was damaged on here") as caught, started(link, bundle, context=9):
        pass
    assert "again" in caught.value.mend
    with started(link, bundle, context=9) as runner:
        assert runner.ready


def test_a_model_that_is_bad_here_too_stays_bad(link: Link, bundle_of: MakeBundle) -> None:
    with pytest.raises(BadFile, match="the model is damaged") as caught, started(link, bundle_of(bad=True), context=9):
        pass
    assert "all of it is on here" in caught.value.why
    assert look(link).bundles


# One at a time


Leave = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def left(link: Link) -> Iterator[Leave]:
    """`left("host.process.number")`: a program that a lost connection left behind."""
    processes: list[subprocess.Popen[bytes]] = []

    def leave(name: str) -> subprocess.Popen[bytes]:
        folder = Path(link.folder, "run", name)
        folder.mkdir(parents=True)
        words = ["sh", "-c", "read word", f"{link.folder}/bundles/0/runner"]
        processes.append(subprocess.Popen(words, stdin=subprocess.PIPE))
        (folder / "runner").write_text(f"{processes[-1].pid}\n")
        return processes[-1]

    yield leave
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("owner", ["gone", "own"])
def test_what_a_process_that_is_gone_or_this_one_left_is_ended(
    owner: str, link: Link, bundle_of: MakeBundle, left: Leave
) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    program = left(f"{platform.node()}.{gone.pid if owner == 'gone' else os.getpid()}.00")
    with started(link, bundle_of(), context=9):
        assert program.wait(5) == -9


@pytest.mark.parametrize("owner", [f"{platform.node()}.1.00", "another.host.7.00"], ids=["here", "elsewhere"])
def test_the_program_of_one_who_may_want_it_is_left_alone(
    owner: str, link: Link, bundle_of: MakeBundle, left: Leave
) -> None:
    program = left(owner)
    with pytest.raises(Unsupported, match="here runs a model for process") as caught:
        ask(link, bundle_of())
    assert program.poll() is None and f"kill {program.pid}" in caught.value.mend
    program.kill()
    program.wait()
    with started(link, bundle_of(), context=9) as runner:
        assert runner.ready


GONE = f"{platform.node()}.{2**22 + 1}.00"  # above the highest number of a process


@pytest.mark.parametrize(
    "owner", [GONE, f"{platform.node()}.{os.getpid()}.00", "", None], ids=["gone", "own", "unnamed", "none"]
)
def test_the_claim_of_one_that_is_gone_is_broken(owner: str | None, link: Link, bundle_of: MakeBundle) -> None:
    claim = Path(link.folder, "run", "claim")
    claim.mkdir(parents=True)
    if owner is not None:  # else it was lost between the claim and the name
        (claim / "owner").write_text(f"{owner}\n")
    with started(link, bundle_of(), context=9) as runner:
        assert runner.ready and (claim / "owner").read_text().split(".")[1] == str(os.getpid())
    assert not claim.exists()


def test_while_another_pushes_nothing_of_it_is_removed(link: Link, bundle_of: MakeBundle) -> None:
    begun, claim = (Path(link.folder, name) for name in ("store/0.partial", "run/claim"))
    for folder in (begun.parent, claim):
        folder.mkdir(parents=True)
    begun.write_bytes(b"the beginning")
    (claim / "owner").write_text("another.host.7.00\n")
    with pytest.raises(Unsupported, match=r"here is in use by process 7 of another\.host") as caught:
        ask(link, bundle_of())
    assert begun.exists() and claim.exists() and f"rm -rf '{claim}'" in caught.value.mend.replace("'\"'\"'", "'")
    claim.joinpath("owner").unlink()
    claim.rmdir()
    assert ask(link, bundle_of()) and not begun.exists()


def test_a_claim_ends_with_what_failed(link: Link, bundle_of: MakeBundle) -> None:
    with pytest.raises(Unsupported), started(link, bundle_of(large=True), context=9):
        pass
    assert not Path(link.folder, "run", "claim").exists()


def test_a_number_that_another_program_has_by_now_is_left_alone(link: Link, bundle_of: MakeBundle) -> None:
    folder = Path(link.folder, "run", "another.7.00")
    folder.mkdir(parents=True)
    (folder / "runner").write_text(f"{os.getpid()}\n")
    with started(link, bundle_of(), context=9):
        assert not folder.exists()
