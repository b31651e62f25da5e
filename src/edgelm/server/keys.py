"""Secrets that are shown once and kept by their digest: cookies, tokens, keys of workers, links."""

from __future__ import annotations

import secrets

from edgelm.files import sha256_bytes

TOKEN, WORKER_KEY = "edgelm_t_", "edgelm_w_"  # what they begin with, by which scanners of repositories find a lost one


def new_key(kind: str = "") -> str:
    """A secret of 256 bits that begins with `kind`."""
    return kind + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What is kept of a secret. It cannot be guessed, so that no salt and no slow digest is needed."""
    return sha256_bytes(key.encode())
