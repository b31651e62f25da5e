"""The key that signs an APK: the user's own, or a debug key made once and kept in the cache."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgelm.data.folder import cache_folder
from edgelm.deploy.apk.tools import Progress, Tools, run, stage
from edgelm.errors import BadOption, MissingInput
from edgelm.files import disk_errors, make_parent

_DEBUG_WORD, _DEBUG_ALIAS = "android", "edgelm"  # no secret: what a debug key signs is not to be trusted
_VARIABLE = "EDGELM_KEY_WORD"


@dataclass(frozen=True)
class Key:
    """A key in a keystore, and its password."""

    store: Path
    alias: str
    password: str

    def sign(self, tools: Tools, aligned: Path, apk: Path) -> None:
        """Write the signed APK. Schemes 2 and 3 cover the whole file; every Android from 8 on knows one of them."""
        command = [
            tools.apksigner, "sign", "--ks", str(self.store), "--ks-key-alias", self.alias,
            "--ks-pass", f"env:{_VARIABLE}", "--v1-signing-enabled", "false", "--v2-signing-enabled", "true",
            "--v3-signing-enabled", "true", "--v4-signing-enabled", "false", "--out", str(apk), str(aligned),
        ]  # fmt: skip
        run(command, seconds=120, environment={_VARIABLE: self.password}, secret=self.password)


def own_key(store: Path, alias: str, variable: str) -> Key:
    """The user's key; its password is read from the environment variable of that name.

    Raises:
        MissingInput: there is no such keystore.
        BadOption: the variable is not set.
    """
    if not store.is_file():
        raise MissingInput(f"there is no keystore {store}", mend="check key=, or leave it out for a debug key")
    word = os.environ.get(variable)
    if not word:
        mend = "set it, and name it in password="
        raise BadOption(f"'{variable}' holds no password", why="the keystore's is read from that variable", mend=mend)
    return Key(store, alias, word)


def debug_key(tools: Tools, progress: Progress) -> Key:
    """The debug key of this user, made when there is none yet."""
    store = cache_folder() / "android" / "debug.p12"
    if not store.is_file():
        make_parent(store)
        making = stage("keytool -genkeypair (a debug key, once)", progress)
        with making, disk_errors(store), tempfile.TemporaryDirectory(prefix=".key-", dir=store.parent) as folder:
            fresh = Path(folder) / store.name
            run([tools.keytool, "-genkeypair", "-keystore", str(fresh), "-storetype", "PKCS12",
                 "-storepass", _DEBUG_WORD, "-alias", _DEBUG_ALIAS, "-keyalg", "RSA", "-keysize", "2048",
                 "-validity", "10000", "-dname", "CN=edgelm debug key"], seconds=120)  # fmt: skip
            _keep_first(fresh, store)
    return Key(store, _DEBUG_ALIAS, _DEBUG_WORD)


def _keep_first(fresh: Path, store: Path) -> None:
    """Give the key its name, unless another process was faster: apps signed by two keys do not replace each other."""
    try:
        os.link(fresh, store)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        fresh.replace(store)
