"""Ed25519 signatures of a list of checksums. Keys are those of `ssh-keygen -t ed25519`, or PEM files of openssl.

The signature is the plain 64 bytes over the list's own bytes, so that openssl alone can check it. A board's key is not
in the board: whoever checks takes it from where the organisers announced it.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edgelm.errors import BadFile
from edgelm.files import read_bytes
from edgelm.score.checksums import SIGNATURE, SUMS

_LARGEST = 1 << 16  # bytes of a key
_MAKE = "make one: ssh-keygen -t ed25519 -N '' -f KEY"


def private_key(path: Path) -> Ed25519PrivateKey:
    """The key that signs.

    Raises:
        MissingInput: there is no such file.
        BadFile: it holds no private Ed25519 key, or one behind a password.
    """
    data = read_bytes(path, _LARGEST)
    try:
        if data.startswith(b"-----BEGIN OPENSSH"):
            key: object = serialization.load_ssh_private_key(data, None)
        else:
            key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadFile(f"{path} holds no private key that can be read", why=_first_line(error), mend=_MAKE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadFile(f"{path} holds a key of another kind than Ed25519", mend=_MAKE)
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """The key that checks.

    Raises:
        MissingInput: there is no such file.
        BadFile: it holds no public Ed25519 key.
    """
    data = read_bytes(path, _LARGEST)
    mend = "take the key that the organisers announced, such as KEY.pub"
    try:
        if data.startswith(b"-----BEGIN"):
            key: object = serialization.load_pem_public_key(data)
        else:
            key = serialization.load_ssh_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadFile(f"{path} holds no public key", why=_first_line(error), mend=mend) from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadFile(f"{path} holds a key of another kind than Ed25519", mend=mend)
    return key


def against_signature(folder: Path, key: Ed25519PublicKey) -> str:
    """Why the folder's list is not what the key's owner signed; empty if it is.

    Raises:
        MissingInput: there is no list.
    """
    data = read_bytes(folder / SUMS)
    if not (folder / SIGNATURE).is_file():
        return f"{SIGNATURE} is missing: nobody has signed"
    try:
        key.verify(read_bytes(folder / SIGNATURE, _LARGEST), data)
    except InvalidSignature:
        mend = "take the key that the organisers announced; if it is that, the board is not as they signed it"
        return f"{SIGNATURE} is not this key's over {SUMS}: {mend}"
    return ""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
