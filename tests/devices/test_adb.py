"""A phone at a cable: found or explained, measured, and whatever is pulled out, the second try works."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_adb import SERIAL, FakeAdb

from edgelm.bundle import Bundle
from edgelm.devices.adb import Adb
from edgelm.devices.remote import install, look
from edgelm.devices.transport import Unreachable
from edgelm.errors import BadFile, BadOption, InputError, MissingInput, NoSpace, Unsupported
from edgelm.native.build import built
from edgelm.plugins import available, parse, spec_of
from edgelm.report import Workload

MakeBundle = Callable[..., Bundle]
WORKLOAD = Workload(prompt_tokens=8, generated_tokens=4, repeats=2)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "local" / "tmp")


def silent(what: str, done: int, of: int) -> None:
    pass


def test_its_spec_names_a_phone_with_and_without_the_key() -> None:
    assert available("devices")["adb"].summary.startswith("An Android phone")
    assert parse("devices", "adb") == Adb()
    assert parse("devices", "adb:192.168.1.7:5555,keep=1") == Adb("192.168.1.7:5555", keep=1)
    assert parse("devices", "adb:serial=R58M,memory_limit=9GB") == Adb("R58M", memory_limit=9 * 10**9)
    assert spec_of(Adb("R58M", launch=("taskset", "f0"))) == "adb:R58M,launch=taskset+f0"


@pytest.mark.parametrize("folder", ["tmp", "//", ""])
def test_a_folder_that_is_no_place_is_refused(folder: str) -> None:
    with pytest.raises(BadOption, match=f"folder={folder} is no place"):
        Adb(folder=folder)


def test_a_phone_is_measured_and_told_apart(adb: FakeAdb, real_bundle: MakeBundle, folder: str) -> None:
    told: list[str] = []
    bundle = real_bundle()
    found = Adb(folder=folder).measure(bundle, WORKLOAD, lambda what, *_: told.append(what))
    assert found.speed.device == f"adb:{SERIAL}" and found.speed.valid_repeats == 2
    assert found.memory == {"phone": 10 * 2**20, "phone-pss": 8 * 2**20}
    assert found.machine["model"] == "Example Pixel 0" and found.machine["android"] == "14"
    extra = found.speed.model_extra or {}
    assert extra["conditions"]["screen"] == "awake" and extra["conditions"]["charging"] == "USB"
    assert [label for label in dict.fromkeys(told) if label.startswith("pushing")] == [
        "pushing model.gguf", "pushing runner",
    ]  # fmt: skip
    before = len(adb.commands)
    assert _ask(folder, bundle) == [7] * 4
    assert not [line for line in adb.commands[before:] if "cat >>" in line]


def test_its_runner_answers_other_questions_too(adb: FakeAdb, bundle_of: MakeBundle, folder: str) -> None:
    device = parse("devices", f"adb:folder={folder}")
    with device.started(bundle_of(), context=9) as runner:
        assert runner.tokenize("ab") == [97, 98]


# Which phone


def connect(**options: str) -> str:
    with Adb(**options).connected() as link:
        return link.name


def test_without_adb_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingInput, match="adb is not installed") as caught:
        connect()
    assert "apt-get install adb" in caught.value.mend


def test_one_that_is_ready_is_taken_among_others_and_the_one_named_before_it(
    adb: FakeAdb, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adb.faults(phones={"A": "offline", "B": "device"})
    assert connect(folder=folder) == "adb:B"
    adb.faults(phones={"A": "device", "B": "device"})
    assert connect(folder=folder, serial="A") == "adb:A"
    monkeypatch.setenv("ANDROID_SERIAL", "B")
    assert connect(folder=folder) == "adb:B"
    assert connect(folder=folder, serial="A") == "adb:A"


@pytest.mark.parametrize(("phones", "serial", "kind", "what", "mend"), [
    ({}, "", MissingInput, "no phone is connected", "USB debugging"),
    ({"A": "device"}, "B", MissingInput, "no phone called B", "adb:A"),
    ({"A": "device", "B": "device"}, "", BadOption, "2 phones are connected", "adb:A"),
    ({"A": "offline", "B": "offline"}, "", BadOption, "2 phones are connected", "adb:A"),
    ({"A": "unauthorized"}, "", Unreachable, "adb:A does not trust this computer yet", "in the dialog"),
    ({"A": "authorizing"}, "", Unreachable, "asking whether", "in the dialog"),
    ({"A": "offline"}, "", Unreachable, "adb:A does not answer: it sleeps", "unlock"),
    ({"A": "device", "B": "offline"}, "B", Unreachable, "adb:B does not answer", "unlock"),
    ({"A": "no permissions"}, "", Unreachable, "may not be used by this user", "plugdev"),
    ({"A": "recovery"}, "", Unreachable, "recovery mode", "as usual"),
    ({"A": "rescue"}, "", Unreachable, "in the state 'rescue'", "plug"),
])  # fmt: skip
def test_a_phone_that_cannot_be_used_says_why(
    phones: dict[str, str], serial: str, kind: type[InputError], what: str, mend: str, adb: FakeAdb
) -> None:
    adb.faults(phones=phones)
    with pytest.raises(kind, match=what) as caught:
        connect(serial=serial)
    assert mend in caught.value.mend
    if len(phones) > 1 and kind is BadOption:
        assert all(name in caught.value.why for name in phones)


def test_adb_that_does_not_work_is_quoted(adb: FakeAdb) -> None:
    adb.faults(daemon=True)
    with pytest.raises(Unreachable, match="adb does not work") as caught:
        connect()
    assert caught.value.why == "* cannot start daemon: the port is taken\nadb: failed to check server version"


@pytest.mark.phone
def test_a_real_phone_is_measured(real_bundle: MakeBundle) -> None:
    if not os.environ.get("ANDROID_SERIAL"):
        pytest.skip("ANDROID_SERIAL names no phone to test with")
    bundle = real_bundle(runner=built("aarch64").read_bytes())
    found = Adb(folder="/data/local/tmp/edgelm-test", keep=0).measure(bundle, WORKLOAD, silent)
    assert found.speed.valid_repeats == 2 and found.machine["android"] and found.memory["phone"] > 2**20


# What goes wrong on the way


@pytest.mark.parametrize("fault", [
    {"commands": 0}, {"bytes": 0}, {"bytes": 70_000}, {"commands": 3}, {"commands": 5}, {"questions": 1},
    {"questions": 2},
])  # fmt: skip
def test_wherever_the_cable_is_pulled_the_second_try_works(
    fault: dict[str, int], adb: FakeAdb, bundle_of: MakeBundle, folder: str
) -> None:
    bundle = bundle_of(files={"model.gguf": bytes(80_000)})
    adb.faults(**fault)
    with pytest.raises(Unreachable, match=f"the connection to adb:{SERIAL} ended") as caught:
        _ask(folder, bundle)
    assert "again" in caught.value.mend and caught.value.why
    assert _ask(folder, bundle) == [7] * 4
    assert not list(Path(folder).rglob("*.partial")) and not list(Path(folder, "bundles").glob("*.new"))


def test_what_arrived_before_the_cable_was_pulled_is_not_sent_again(
    adb: FakeAdb, bundle_of: MakeBundle, folder: str
) -> None:
    bundle = bundle_of(files={"model.gguf": bytes(200_000)})
    adb.faults(bytes=150_000)
    with pytest.raises(Unreachable), Adb(folder=folder).connected() as link:
        install(link, bundle, silent)
    adb.faults(bytes=60_000)  # enough for the rest of the model, and for the runner
    with Adb(folder=folder).connected() as link:
        install(link, bundle, silent)
        assert len(look(link).files) == 2


def test_a_slow_phone_gets_all_of_it(adb: FakeAdb, bundle_of: MakeBundle, folder: str) -> None:
    adb.faults(slow=0.02)
    _install(folder, bundle_of())


def test_a_bit_that_flips_is_noticed_and_the_second_try_works(adb: FakeAdb, bundle_of: MakeBundle, folder: str) -> None:
    adb.faults(flip=20_000)
    with pytest.raises(BadFile, match=r"model\.gguf arrived on adb:R58M with changed bytes"):
        _install(folder, bundle_of())
    assert not list(Path(folder, "store").iterdir())
    _install(folder, bundle_of())


def test_a_disk_that_becomes_full_leaves_nothing_half(adb: FakeAdb, bundle_of: MakeBundle, folder: str) -> None:
    adb.faults(full=20_000)
    with pytest.raises(NoSpace, match="adb:R58M has no space left"):
        _install(folder, bundle_of())
    assert not list(Path(folder, "store").iterdir()) and not list(Path(folder, "bundles").iterdir())
    _install(folder, bundle_of())


def test_a_disk_that_is_full_is_told_before_anything_is_sent(adb: FakeAdb, bundle_of: MakeBundle, folder: str) -> None:
    adb.faults(free=100)
    with pytest.raises(NoSpace, match="are to be pushed to adb:R58M"):
        _install(folder, bundle_of())
    assert not [line for line in adb.commands if "cat >>" in line]


def test_a_phone_that_falls_asleep_is_given_up(adb: FakeAdb, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Adb(folder=folder).connected() as link:
        adb.faults(hang=True)
        start = time.monotonic()
        with pytest.raises(Unreachable, match=f"adb:{SERIAL} did not answer for 0.3 s"):
            link.run(["true"], seconds=0.3)
    assert time.monotonic() - start < 10


def test_another_processor_and_a_folder_that_runs_nothing_are_refused(
    adb: FakeAdb, bundle_of: MakeBundle, folder: str
) -> None:
    adb.faults(machine="armv7l")
    with pytest.raises(Unsupported, match="is for aarch64, adb:R58M is armv7l"):
        _install(folder, bundle_of(runner=b"\x7fELF" + bytes(14) + b"\xb7\x00" + bytes(99)))
    adb.faults(noexec=True)
    with pytest.raises(BadOption, match="programs may not be run"):
        _install(folder, bundle_of())


def test_a_program_that_computes_ends_with_the_local_adb(adb: FakeAdb, bundle_of: MakeBundle, folder: str) -> None:
    bundle = bundle_of(hang=60)
    with Adb(folder=folder).started(bundle, context=9) as runner:
        process = runner._process
        assert isinstance(process, subprocess.Popen) and process.stdin
        process.stdin.write('{"op": "generate", "ids": [1], "max_tokens": 1}\n')
        process.stdin.flush()
        number = next(Path(folder, "run").glob("*/runner")).read_text().strip()
        process.kill()
        end = time.monotonic() + 10
        while Path(f"/proc/{number}").exists():
            assert time.monotonic() < end
            time.sleep(0.01)


def _ask(folder: str, bundle: Bundle) -> list[int]:
    with Adb(folder=folder).started(bundle, context=9) as runner:
        runner.tokenize("a")
        return runner.generate([1], 4).ids


def _install(folder: str, bundle: Bundle) -> None:
    with Adb(folder=folder).connected() as link:
        install(link, bundle, silent)
