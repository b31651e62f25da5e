import shutil
import subprocess

import pytest

from edgelm.errors import BadFile, MissingInput
from edgelm.score.checksums import SIGNATURE, SUMS

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgelm.score.signature import against_signature, private_key, public_key

FORMATS = {
    "ssh": (s.PrivateFormat.OpenSSH, s.Encoding.OpenSSH, s.PublicFormat.OpenSSH),
    "pem": (s.PrivateFormat.PKCS8, s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo),
}


@pytest.fixture(params=FORMATS)
def keys(request, tmp_path):
    key = Ed25519PrivateKey.generate()
    private, encoding, public = FORMATS[request.param]
    (tmp_path / "key").write_bytes(key.private_bytes(s.Encoding.PEM, private, s.NoEncryption()))
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(encoding, public))
    return tmp_path / "key", tmp_path / "key.pub"


@pytest.fixture
def board(keys, tmp_path):
    folder = tmp_path / "board"
    folder.mkdir()
    (folder / SUMS).write_bytes(b"list")
    (folder / SIGNATURE).write_bytes(private_key(keys[0]).sign(b"list"))
    return folder


def test_what_is_signed_holds_and_what_is_changed_does_not(board, keys):
    key = public_key(keys[1])
    assert against_signature(board, key) == ""
    (board / SUMS).write_bytes(b"list ")
    assert "is not this key's" in against_signature(board, key)
    assert "is not this key's" in against_signature(board, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"x" * 1000])
def test_a_signature_that_is_none_does_not_hold(board, keys, signature):
    (board / SIGNATURE).write_bytes(signature)
    assert "is not this key's" in against_signature(board, public_key(keys[1]))
    (board / SIGNATURE).unlink()
    assert "nobody has signed" in against_signature(board, public_key(keys[1]))


def test_what_is_no_key_is_refused_with_the_mend(keys, tmp_path):
    curve = ec.generate_private_key(ec.SECP256R1())
    other = tmp_path / "other"
    other.write_bytes(curve.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    locked = tmp_path / "locked"
    locked.write_bytes(Ed25519PrivateKey.generate().private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"word")))  # fmt: skip
    noise = tmp_path / "noise"
    noise.write_bytes(b"\xff" * 99)
    for path in (other, locked, noise, keys[1]):
        with pytest.raises(BadFile, match=str(path)) as caught:
            private_key(path)
        assert "ssh-keygen -t ed25519" in caught.value.mend
    for path in (noise, keys[0]):
        with pytest.raises(BadFile):
            public_key(path)
    with pytest.raises(MissingInput):
        public_key(tmp_path / "nowhere")


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="there is no ssh-keygen")
def test_keys_of_ssh_keygen_are_read(tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "k"], check=True)
    signed = private_key(tmp_path / "k").sign(b"list")
    public_key(tmp_path / "k.pub").verify(signed, b"list")
