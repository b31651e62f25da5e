"""Fixtures of remote devices: bundles with a runner that is none, a phone for adb, a phone behind ssh."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_adb import FakeAdb
from phone import Phone, virtual_phone

from edgelm.bundle import BUNDLE_LIST, Bundle
from edgelm.devices.transport import Link
from edgelm.files import sha256_bytes

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def link(tmp_path: Path) -> Link:
    """A device that is this machine."""
    return Link("here", ("sh", "-c"), str(tmp_path / "its own"))


@pytest.fixture
def bundle_of(tmp_path: Path) -> MakeBundle:
    """`bundle_of("name", {"model.gguf": b"…"}, die=9)`: a bundle with a runner that fails as told."""

    def make(name: str = "bundle", files: dict[str, bytes] | None = None, runner: bytes | None = None,
             config: Any = None, **faults: Any) -> Bundle:  # fmt: skip
        program = f"#!{sys.executable} -IS\n{Path(__file__).with_name('phone_runner.py').read_text()}".encode()
        contents = {"runner": runner or program, "model.gguf": b"a model\n" * 5000} | (files or {})
        if faults:
            contents["fake.json"] = json.dumps(faults).encode()
        folder = tmp_path / name
        for file, data in contents.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        listed = {file: {"sha256": sha256_bytes(data), "size": len(data)} for file, data in contents.items()}
        listing = {"format": 1, "target": "android", "name": name, "checkpoint": "0" * 64, "config": config or {},
                   "tools": {}, "made_by": "a test", "files": listed}  # fmt: skip
        (folder / BUNDLE_LIST).write_text(json.dumps(listing))
        return Bundle(folder)

    return make


@pytest.fixture
def real_bundle(bundle: Bundle, bundle_of: MakeBundle) -> MakeBundle:
    """`real_bundle(die=9)`: a real model with the runner that is none."""
    model = bundle.model.read_bytes()
    return lambda **given: bundle_of(files={"model.gguf": model}, config=bundle.listing.config, **given)


@pytest.fixture
def adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAdb:
    """A phone at a cable, reached by the program `adb`."""
    fake = FakeAdb(tmp_path / "adb")
    monkeypatch.setenv("PATH", f"{fake.path}:{os.environ['PATH']}")
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    return fake


@pytest.fixture(scope="session")
def one_phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phone]:
    """The virtual phone, turned on once."""
    with virtual_phone(tmp_path_factory.mktemp("phone") / "it") as phone:
        yield phone


@pytest.fixture
def phone(one_phone: Phone) -> Iterator[Phone]:
    """The virtual phone as it was when it was new, but for what lies in its folder."""
    one_phone.reset()
    yield one_phone
    one_phone.cut()
