"""A sealed hold-out opens to what it was, by its key alone, and leaves nothing."""

import pytest

pytest.importorskip("cryptography", reason="the extra `sign` is not installed")

from edgelm.errors import BadFile
from edgelm.tasks.holdout.folder import HoldOut
from edgelm.tasks.holdout.sealed import make_key, read_key, sealed, unsealed


@pytest.fixture
def secret(holdout, choice, ethics, tmp_path):
    """A hold-out's folder with a salt, and the key's file."""
    folder = holdout({"ethics.json": choice, "ethics.jsonl": ethics, "deep/notes.txt": "häh"})
    HoldOut(folder).make_salt()
    make_key(tmp_path / "key")
    return folder, tmp_path / "key"


def test_it_opens_to_the_folder_that_was_published(secret, tmp_path):
    folder, key = secret
    (tmp_path / "file").write_bytes(sealed(folder, read_key(key)))
    with unsealed(tmp_path / "file", read_key(key)) as opened:
        assert HoldOut(opened).digest() == HoldOut(folder).digest()
        assert opened.parent.stat().st_mode & 0o77 == 0
    assert not opened.parent.exists()


def test_nothing_of_it_can_be_read(secret):
    folder, key = secret
    first, again = (sealed(folder, read_key(key)) for _ in range(2))
    assert b"ethics" not in first and b"Question" not in first
    assert first[50:] != again[50:]


@pytest.mark.parametrize("harm", ["flip", "cut", "other key", "no magic"])
def test_what_was_changed_is_refused(secret, tmp_path, harm):
    folder, key = secret
    data = bytearray(sealed(folder, read_key(key)))
    if harm == "flip":
        data[-20] ^= 1
    elif harm == "cut":
        del data[40:]
    elif harm == "no magic":
        data = data[3:]
    else:
        key.unlink()
        make_key(key)
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(BadFile), unsealed(tmp_path / "file", read_key(key)):
        pass


def test_a_key_is_made_once_and_is_its_owner_s(secret):
    _, key = secret
    before = key.read_bytes()
    make_key(key)
    assert key.read_bytes() == before and key.stat().st_mode & 0o77 == 0
