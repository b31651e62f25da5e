"""A hold-out's folder: nothing outside of it is read, and its digest says what is in it and nothing more."""

import hashlib
import json
import os
import stat

import pytest

from edgelm.errors import BadFile, MissingInput
from edgelm.tasks.holdout import folder as module
from edgelm.tasks.holdout.folder import HoldOut, digest_of, read_salt


def test_the_digest_is_of_the_salt_and_the_listing(holdout):
    folder = holdout({"b.txt": "two", "a/a.txt": "one", "__pycache__/x.pyc": "no", ".git/config": "no"})
    data = HoldOut(folder)
    listing = {name: hashlib.sha256(text).hexdigest() for name, text in (("a/a.txt", b"one"), ("b.txt", b"two"))}
    canonical = json.dumps(listing, separators=(",", ":"), sort_keys=True).encode()
    assert data.digest() == data.digest(["b.txt"]) == hashlib.sha256(canonical).hexdigest()
    data.make_salt()
    assert data.digest() == hashlib.sha256(data.salt + canonical).hexdigest() == digest_of(data.salt, listing)
    assert HoldOut(folder).digest() == data.digest(), "the salt is kept"
    assert stat.S_IMODE((folder / "salt").stat().st_mode) == 0o600
    assert read_salt(folder / "salt") == data.salt and len(data.salt) == 32
    data.make_salt()
    assert HoldOut(folder).digest() == data.digest(), "and never replaced"


def test_any_change_is_another_digest(holdout):
    first = HoldOut(holdout({"a": "1", "b": "2"})).digest()
    assert HoldOut(holdout({"a": "2"})).digest() != first
    assert HoldOut(holdout({"a": "1", "c": ""})).digest() != first


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "a/../../outside.txt", "salt", "nothing"])
def test_nothing_but_the_listed_files_is_read(holdout, tmp_path, name):
    (tmp_path / "outside.txt").write_text("x")
    data = HoldOut(holdout({"a/x.txt": "1"}))
    data.make_salt()
    with pytest.raises(MissingInput, match="has no file"):
        data.read(name)


def test_links_and_special_files_are_refused(holdout, tmp_path):
    folder = holdout({"a.txt": "1"})
    (tmp_path / "outside").mkdir()
    for make in (lambda path: path.symlink_to(tmp_path / "outside"), lambda path: path.symlink_to("a.txt"),
                 lambda path: path.symlink_to("nowhere"), os.mkfifo):  # fmt: skip
        make(folder / "x")
        with pytest.raises(BadFile, match="link or no plain file"):
            HoldOut(folder)
        (folder / "x").unlink()


def test_too_much_is_refused(holdout, monkeypatch):
    folder = holdout({"a": "12345", "b": "1"})
    monkeypatch.setattr(module, "LARGEST", 4)
    with pytest.raises(BadFile, match="too large"):
        HoldOut(folder)
    monkeypatch.setattr(module, "LARGEST", 5)
    monkeypatch.setattr(module, "MOST_FILES", 1)
    with pytest.raises(BadFile, match="more than 1 files"):
        HoldOut(folder)


def test_names_that_are_not_utf8_are_refused(holdout):
    folder = holdout({"a": "1"})
    try:
        (folder / os.fsdecode(b"\xff")).touch()
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(BadFile, match="not UTF-8"):
        HoldOut(folder)


def test_a_file_that_changes_meanwhile_is_named(holdout):
    folder = holdout({"a": "1"})
    data = HoldOut(folder)
    (folder / "a").write_text("2")
    with pytest.raises(BadFile, match="changed while"):
        data.read("a")


@pytest.mark.parametrize("text", ["", "12", "g" * 64, "A" * 64])
def test_a_spoilt_salt_is_named(holdout, text):
    with pytest.raises(BadFile, match="holds no salt"):
        HoldOut(holdout({"a": "1", "salt": text})).digest()
