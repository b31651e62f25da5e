"""A bundle on a device: pushed once, there whole or not at all, nothing kept that is not wanted."""

from __future__ import annotations

import dataclasses
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelm.bundle import Bundle
from edgelm.devices.push import PARTIAL
from edgelm.devices.remote import MARGIN, architecture, forget, install, look
from edgelm.devices.transport import Link
from edgelm.errors import BadFile, BadOption, NoSpace, Unsupported

MakeBundle = Callable[..., Bundle]


def silent(what: str, done: int, of: int) -> None:
    pass


def pushed(link: Link, bundle: Bundle, keep: int = 2) -> list[str]:
    """Install it, and say which files were pushed."""
    told: list[str] = []
    install(link, bundle, lambda what, done, of: told.append(what.removeprefix("pushing ")), keep=keep)
    return list(dict.fromkeys(told))


def with_programs(link: Link, folder: Path, **programs: str) -> Link:
    """The same device with other programs."""
    folder.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return dataclasses.replace(link, prefix=("env", f"PATH={folder}:{os.environ['PATH']}", *link.prefix))


def elf(machine: int) -> bytes:
    return struct.pack("<4s5B7x2H", b"\x7fELF", 2, 1, 1, 0, 0, 2, machine) + b"\0" * 99


def store(link: Link) -> set[str]:
    return {path.name for path in Path(link.folder, "store").iterdir()}


def test_files_lie_by_digest_and_the_bundle_has_them_by_name(link: Link, bundle_of: MakeBundle) -> None:
    bundle = bundle_of(files={"deep/er/notes of it": b"n", "app.apk": b"an app"})
    installed = install(link, bundle, silent)
    assert Path(installed.runner).read_bytes() == (bundle.path / "runner").read_bytes()
    assert Path(installed.model).read_bytes() == bundle.model.read_bytes()
    assert (Path(installed.folder) / "deep/er/notes of it").read_bytes() == b"n"
    assert os.access(installed.runner, os.X_OK)
    files = bundle.listing.files
    assert store(link) == {files[name].sha256 for name in ("runner", "model.gguf", "deep/er/notes of it")}


def test_no_file_is_pushed_twice(link: Link, bundle_of: MakeBundle) -> None:
    first, second = bundle_of("first"), bundle_of("second", {"model.gguf": b"another"})
    assert pushed(link, first) == ["model.gguf", "runner"]
    assert pushed(link, first) == []
    assert pushed(link, second) == ["model.gguf"]
    assert pushed(link, first) == [] and pushed(link, second) == []


def test_a_file_of_another_size_is_pushed_anew(link: Link, bundle_of: MakeBundle) -> None:
    bundle = bundle_of()
    installed = install(link, bundle, silent)
    Path(installed.model).resolve().write_bytes(b"half")
    assert pushed(link, bundle) == ["model.gguf"]
    assert Path(installed.model).read_bytes() == bundle.model.read_bytes()


def test_bundles_that_were_used_last_stay(link: Link, bundle_of: MakeBundle) -> None:
    a, b, c = (bundle_of(name, {"model.gguf": name.encode()}) for name in "abc")
    for bundle in (a, b, a):
        install(link, bundle, silent, keep=2)
    install(link, c, silent, keep=2)
    assert pushed(link, a) == [] and pushed(link, c) == []
    assert pushed(link, b) == ["model.gguf"]  # it had gone: a was used after it
    install(link, a, silent, keep=1)
    assert len(look(link).bundles) == 1 and len(store(link)) == 2


def test_what_belongs_to_no_bundle_is_removed(link: Link, bundle_of: MakeBundle) -> None:
    bundle = bundle_of()
    install(link, bundle, silent)
    unfinished = Path(link.folder, "bundles", "f00.new")
    unfinished.mkdir()
    (Path(link.folder, "store") / ("0" * 64 + PARTIAL)).write_bytes(b"the beginning of something")
    assert pushed(link, bundle, keep=9) == []
    assert len(store(link)) == 2 and not unfinished.exists()


def test_all_is_forgotten_or_one_bundle(link: Link, bundle_of: MakeBundle) -> None:
    installed = install(link, bundle_of("first"), silent)
    other = install(link, bundle_of("second", {"model.gguf": b"x"}, runner=b"#!/bin/sh\n"), silent)
    forget(link, installed)
    assert list(look(link).bundles) == [Path(other.folder).name] and len(store(link)) == 2
    forget(link)
    assert not Path(link.folder).exists()


def test_links_are_copies_where_there_are_none(link: Link, bundle_of: MakeBundle, tmp_path: Path) -> None:
    bundle = bundle_of()
    installed = install(with_programs(link, tmp_path / "bin", ln="exit 1"), bundle, silent)
    assert not Path(installed.model).is_symlink()
    assert Path(installed.model).read_bytes() == bundle.model.read_bytes()


@pytest.mark.parametrize("shell", ["mksh", "busybox sh", "toybox"])
def test_the_scripts_run_in_shells_of_devices(shell: str, link: Link, bundle_of: MakeBundle, tmp_path: Path) -> None:
    """Android has mksh and toybox, small boards have busybox."""
    if not shutil.which(shell.split(maxsplit=1)[0]):
        pytest.skip(f"no {shell}: apt-get install mksh busybox toybox")
    where = shutil.which(shell.split(maxsplit=1)[0])
    names = ("stat", "sha256sum", "ls", "df", "ln", "mv", "rm", "mkdir", "cat", "chmod", "tail", "tr", "uname")
    programs = {} if shell == "mksh" else {name: f'exec {where} {name} "$@"' for name in names}
    if shell != "toybox":
        programs["sh"] = f'exec {shell} "$@"'
    link = with_programs(link, tmp_path / "bin", **programs)
    bundle = bundle_of(files={"deep/notes of it": b"n"})
    assert pushed(link, bundle) == ["deep/notes of it".rpartition("/")[2], "model.gguf", "runner"]
    assert pushed(link, bundle) == []
    assert look(link).free > 0 and look(link).runs


# What cannot be


def test_too_little_space_is_said_beforehand(link: Link, bundle_of: MakeBundle, tmp_path: Path) -> None:
    bundle = bundle_of(files={"model.gguf": b"x" * 2**20})
    needed = sum(listed.size for listed in bundle.listing.files.values())
    rows = "echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'; echo '/dev/a b 9 9 {} 9% /a 1 2 3 4%'"
    small = with_programs(link, tmp_path / "small", df=rows.format((needed + MARGIN) // 1024 - 1))
    with pytest.raises(NoSpace, match=r"1\.0 MiB are to be pushed to here, 17\.\d MiB are free") as caught:
        install(small, bundle, silent)
    assert "keep=1" in caught.value.mend and "folder=" in caught.value.mend
    assert not store(link) and not look(link).bundles
    enough = with_programs(link, tmp_path / "enough", df=rows.format((needed + MARGIN) // 1024 + 1))
    assert pushed(enough, bundle) == ["model.gguf", "runner"]
    assert pushed(small, bundle) == []  # what is there needs no space


def test_what_is_half_there_needs_half_the_space(link: Link, bundle_of: MakeBundle, tmp_path: Path) -> None:
    bundle = bundle_of(files={"model.gguf": b"x" * 2**20})
    look(link)
    (Path(link.folder) / "store" / (bundle.listing.files["model.gguf"].sha256 + PARTIAL)).write_bytes(b"x" * 2**19)
    row = f"echo '/dev/a 9 9 {(2**19 + 2**17 + MARGIN) // 1024} 9% /'"
    assert pushed(with_programs(link, tmp_path / "bin", df=row), bundle) == ["model.gguf", "runner"]


@pytest.mark.parametrize(("machine", "abilist", "number", "runs"), [
    ("aarch64", "", 183, True), ("arm64", "", 183, True), ("armv8l", "arm64-v8a,armeabi-v7a", 183, True),
    ("armv8l", "armeabi-v7a", 183, False), ("armv7l", "", 183, False), ("x86_64", "", 183, False),
    ("x86_64", "", 62, True), ("aarch64", "", 62, False), ("riscv64", "", 250, False),
])  # fmt: skip
def test_a_program_for_another_processor_is_refused_before_anything_is_pushed(
    machine: str, abilist: str, number: int, runs: bool, link: Link, bundle_of: MakeBundle, tmp_path: Path
) -> None:
    device = with_programs(link, tmp_path / "bin", uname=f"echo {machine}", getprop=f"echo {abilist}")
    bundle = bundle_of(runner=elf(number))
    if runs:
        assert pushed(device, bundle) == ["model.gguf", "runner"]
        return
    with pytest.raises(Unsupported, match=f"here is {machine}") as caught:
        install(device, bundle, silent)
    assert architecture(bundle.path / "runner") in caught.value.what
    assert not store(link)


def test_a_folder_from_which_nothing_may_run_is_refused(link: Link, bundle_of: MakeBundle, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="programs may not be run from") as caught:
        install(with_programs(link, tmp_path / "bin", chmod=":"), bundle_of(), silent)
    assert "noexec" in caught.value.why and "folder=" in caught.value.mend
    assert not store(link)


def test_a_bundle_that_cannot_run_says_which_can(link: Link, bundle_of: MakeBundle) -> None:
    bundle = bundle_of()
    listing = (bundle.path / "bundle.json").read_text().replace('"runner"', '"a-runner"')
    (bundle.path / "bundle.json").write_text(listing)
    with pytest.raises(Unsupported, match="holds no runner") as caught:
        install(link, Bundle(bundle.path), silent)
    assert "edgelm deploy" in caught.value.mend
    assert not Path(link.folder).exists()


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out"])
def test_a_list_that_names_a_file_outside_is_refused(name: str, link: Link, bundle_of: MakeBundle) -> None:
    bundle = bundle_of()
    listing = (bundle.path / "bundle.json").read_text().replace('"model.gguf"', f'"{name}"')
    (bundle.path / "bundle.json").write_text(listing)
    with pytest.raises(BadFile, match="lists a file called"):
        install(link, Bundle(bundle.path), silent)


def test_a_script_has_no_processor(tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "empty").write_bytes(b"")
    assert architecture(tmp_path / "script") == architecture(tmp_path / "empty") == ""
