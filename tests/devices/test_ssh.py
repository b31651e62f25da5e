"""A machine behind ssh: a real sshd on loopback that is a phone, and whatever goes wrong with it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from phone import Phone

from edgelm.bundle import Bundle
from edgelm.devices.push import Progress, digest
from edgelm.devices.remote import forget, install, look
from edgelm.devices.ssh import Ssh
from edgelm.devices.transport import Unreachable
from edgelm.errors import (
    BadFile,
    BadOption,
    EdgelmError,
    InputError,
    MissingInput,
    NoSpace,
    Unsupported,
)
from edgelm.plugins import available, parse, spec_of
from edgelm.report import Workload

MakeBundle = Callable[..., Bundle]
WORKLOAD = Workload(prompt_tokens=8, generated_tokens=4, repeats=2)


def silent(what: str, done: int, of: int) -> None:
    pass


@pytest.fixture
def device(phone: Phone) -> Iterator[Ssh]:
    """The virtual phone with nothing on it."""
    made = parse("devices", f"{phone.spec},folder=its own place")
    yield made
    phone.cut()
    subprocess.run(["rm", "-rf", phone.home / "its own place"], check=True)


def ask(device: Ssh, bundle: Bundle, progress: Progress = silent) -> list[int]:
    with device.started(bundle, context=9, progress=progress) as runner:
        runner.tokenize("a")
        return runner.generate([1], 4).ids


def test_its_spec_names_the_machine_with_and_without_the_key() -> None:
    assert available("devices")["ssh"].summary.startswith("A machine that ssh reaches")
    assert parse("devices", "ssh:me@pi") == parse("devices", "ssh:host=me@pi") == Ssh("me@pi")
    spec = "ssh:me@phone,keep=0,port=8022,key=~/.ssh/id"
    assert parse("devices", spec) == Ssh("me@phone", port=8022, key="~/.ssh/id", keep=0)
    assert spec_of(parse("devices", spec)) == spec
    with pytest.raises(BadOption, match="'ssh' needs host"):
        parse("devices", "ssh")


@pytest.mark.parametrize(("options", "what"), [
    ({"host": "-oProxyCommand=x"}, "is no host"), ({"host": ""}, "is no host"), ({"host": "a b"}, "is no host"),
    ({"port": 70000}, "port=70000"), ({"port": -1}, "port=-1"), ({"folder": "/"}, "folder=/"),
    ({"folder": ".."}, "folder="),
])  # fmt: skip
def test_options_that_mean_something_else_are_refused(options: dict[str, object], what: str) -> None:
    with pytest.raises(BadOption, match=what):
        Ssh(**{"host": "pi"} | options)  # type: ignore[arg-type]


def test_without_ssh_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingInput, match="ssh is not installed") as caught, Ssh("pi").connected():
        pass
    assert "apt-get install openssh-client" in caught.value.mend


def test_a_machine_is_measured_pushed_to_once_and_cleaned_up(device: Ssh, real_bundle: MakeBundle) -> None:
    bundle, told = real_bundle(), list[str]()
    found = device.measure(bundle, WORKLOAD, lambda what, *_: told.append(what))
    assert found.speed.device == "ssh:phone" and found.speed.valid_repeats == 2
    assert found.memory["phone"] == 10 * 2**20 and found.machine["architecture"] == "aarch64"
    assert ask(device, bundle, lambda what, *_: told.append(what)) == [7] * 4
    assert told.count("pushing runner") == 1
    with device.connected() as link:
        assert len(look(link).files) == 2
        forget(link)
        assert not look(link).files


def test_bytes_arrive_through_one_connection_that_is_closed(device: Ssh, phone: Phone, bundle_of: MakeBundle) -> None:
    content = os.urandom(300_000)
    bundle = bundle_of(files={"model.gguf": content})
    before = (phone.folder / "log").read_text().count("Accepted publickey")
    with device.connected() as link:
        assert link.folder == str(phone.home / "its own place")
        installed = install(link, bundle, silent)
        assert digest(link, installed.model, len(content)) == hashlib.sha256(content).hexdigest()
        socket = Path(link.prefix[link.prefix.index("-S") + 1])
        assert socket.exists()
    assert not socket.parent.exists()
    assert (phone.folder / "log").read_text().count("Accepted publickey") == before + 1


# Who does not let us in


@pytest.mark.parametrize(("change", "kind", "what", "mend"), [
    ({"port": 1}, Unreachable, "nothing listens there on phone", "start sshd"),
    ({"host": "phone.invalid"}, MissingInput, "no machine called phone.invalid", "address"),
    ({"key": "{folder}/stranger"}, Unreachable, "phone does not let this user in", "ssh-copy-id phone"),
    ({"key": "{folder}/none"}, MissingInput, "there is no file .*/none", "key="),
    ({"config": "{folder}/none"}, MissingInput, "there is no file .*/none", "config="),
    ({"folder": "/proc/none"}, BadOption, "no folder /proc/none on ssh:phone", "folder="),
])  # fmt: skip
def test_a_machine_that_does_not_let_us_in_says_why(
    change: dict[str, object], kind: type[InputError], what: str, mend: str, phone: Phone
) -> None:
    given = {"host": "phone", "config": _without_key(phone) if "key" in change else str(phone.config)} | change
    given |= {key: str(given[key]).format(folder=phone.folder) for key in ("key", "config") if key in given}
    with pytest.raises(kind, match=what) as caught, Ssh(**given).connected():  # type: ignore[arg-type]
        pass
    assert mend in caught.value.mend


def _without_key(phone: Phone) -> str:
    rows = [row for row in phone.config.read_text().splitlines() if "IdentityFile" not in row]
    (phone.folder / "config-without-key").write_text("\n".join(rows))
    return str(phone.folder / "config-without-key")


def test_a_machine_whose_key_is_unknown_or_another_is_not_asked_about(phone: Phone) -> None:
    known = phone.folder / "known"
    right = known.read_text()
    try:
        another = right.partition(" ")[0] + " " + (phone.folder / "user.pub").read_text()
        for text, what, mend in (("", "is not known here", "ssh phone"), (another, "is another one", "ssh-keygen -R")):
            known.write_text(text)
            device = Ssh("phone", config=str(phone.config))
            with pytest.raises(Unreachable, match=f"key of phone {what}") as caught, device.connected():
                pass
            assert mend in caught.value.mend
            assert known.read_text() == text
    finally:
        known.write_text(right)


# What goes wrong on the way


@pytest.mark.parametrize("label", ["pushing model.gguf", "loading the model"])
def test_wherever_the_network_goes_the_second_try_works(
    label: str, device: Ssh, phone: Phone, bundle_of: MakeBundle
) -> None:
    bundle, told = bundle_of(files={"model.gguf": os.urandom(3 * 2**20)}), list[str]()

    def cut(what: str, done: int, of: int) -> None:
        if what == label:
            told.append(what)
            phone.cut()

    with pytest.raises(Unreachable, match=r"the connection to ssh:phone ended|did not answer") as caught:
        ask(device, bundle, cut)
    assert told and caught.value.mend
    assert ask(device, bundle) == [7] * 4


def test_what_computes_ends_when_the_network_goes(device: Ssh, phone: Phone, bundle_of: MakeBundle) -> None:
    bundle = bundle_of(hang=60)
    with (
        pytest.raises(Unreachable, match="the connection to ssh:phone ended"),
        device.started(bundle, context=9) as runner,
    ):
        process = runner._process
        assert isinstance(process, subprocess.Popen) and process.stdin
        process.stdin.write('{"op": "generate", "ids": [1], "max_tokens": 1}\n')
        process.stdin.flush()
        number = next((phone.home / "its own place/run").glob("*/runner")).read_text().strip()
        phone.cut()
        end = time.monotonic() + 10
        while Path(f"/proc/{number}").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        runner.memory()


def test_a_full_disk_a_wrong_processor_and_a_killed_program_are_told_apart(
    device: Ssh, phone: Phone, bundle_of: MakeBundle
) -> None:
    phone.be("armv7l")
    with pytest.raises(Unsupported, match="is for aarch64, ssh:phone is armv7l"):
        ask(device, bundle_of(runner=b"\x7fELF" + bytes(14) + b"\xb7\x00" + bytes(99)))
    phone.reset()
    phone.has("cat", "echo 'cat: write error: No space left on device' >&2; exit 1")
    with pytest.raises(NoSpace, match="ssh:phone has no space left"):
        ask(device, bundle_of())
    phone.reset()
    assert not list((phone.home / "its own place" / "store").iterdir())
    with pytest.raises(Unsupported, match="the system of ssh:phone ended the program"):
        ask(device, bundle_of(die=9))
    assert ask(device, bundle_of()) == [7] * 4


def test_the_phones_memory_has_an_end(device: Ssh, phone: Phone, bundle_of: MakeBundle) -> None:
    bundle = bundle_of()
    phone.limit(8 * 2**20)
    with pytest.raises(EdgelmError, match=r"cannot run the bundle|the runner has ended|ended the program"):
        ask(device, bundle)
    phone.limit(None)
    assert ask(device, bundle) == [7] * 4


# The real runner, on the emulated phone


@pytest.fixture
def emulated(device: Ssh, emulator: str) -> Ssh:
    """The virtual phone, whose programs an emulator runs."""
    return dataclasses.replace(device, launch=(emulator,), threads=1)


@pytest.mark.slow
def test_the_runner_of_phones_is_measured_there(emulated: Ssh, real_bundle: MakeBundle, aarch64_runner: Path) -> None:
    found = emulated.measure(real_bundle(runner=aarch64_runner.read_bytes()), WORKLOAD, silent)
    assert found.speed.valid_repeats == 2 and found.speed.decode > 0
    assert found.memory["phone"] > 2**20


def test_what_the_phone_cannot_run_is_told_in_words_and_what_it_can_is_run(
    emulated: Ssh, phone: Phone, bundle: Bundle, bundle_of: MakeBundle, aarch64_runner: Path
) -> None:
    model, program = bundle.model.read_bytes(), aarch64_runner.read_bytes()
    whole = bundle_of("whole", {"model.gguf": model}, runner=program)
    with pytest.raises(Unsupported, match="the runner:"):
        ask(dataclasses.replace(emulated, memory_limit=2**20), whole)
    with pytest.raises(BadFile, match="the runner:"):
        ask(emulated, bundle_of("half", {"model.gguf": model[: len(model) // 2]}, runner=program))
    with pytest.raises(Unsupported, match="ssh:phone cannot run the bundle's program"):
        ask(dataclasses.replace(emulated, launch=()), whole)
    phone.limit(100 * 2**20)
    with pytest.raises(EdgelmError):
        ask(emulated, whole)
    phone.limit(None)
    assert len(ask(emulated, whole)) == 4
