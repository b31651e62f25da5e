"""A phone with Android: the GGUF file, a runner for `adb shell`, and a signed app around the same runner.

The APK needs Debian's `aapt`, `android-framework-res`, `libsmali-java`, `zipalign`, `apksigner` and a Java runtime:
`scripts/android-tools` installs them. Without a key of your own the app is signed by a debug key, made once and kept in
the cache: phones replace an app only by one of the same key.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from edgelm.bundle import MODEL
from edgelm.checkpoint import Checkpoint
from edgelm.deploy.apk.card import card_of
from edgelm.deploy.apk.key import Key, debug_key, own_key
from edgelm.deploy.apk.package import ACTIVITY, App, build_apk
from edgelm.deploy.apk.scripts import in_json, size, write_passage, write_scripts
from edgelm.deploy.apk.tools import find_tools
from edgelm.deploy.base import Progress, counted
from edgelm.deploy.gguf import GGUF
from edgelm.deploy.gguf_vocab import read_vocabulary
from edgelm.deploy.linux_aarch64 import RUNNER, place_runner
from edgelm.errors import BadOption
from edgelm.files import sha256_file
from edgelm.native import build

APK = "edgelm.apk"
_PACKAGE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_LONGEST_PACKAGE = 100


@dataclass(frozen=True)
class Android:
    """The target `android`."""

    dtype: Literal["F16", "F32"] = "F16"  # of matrices; vectors are always F32
    pre: str = ""  # llama.cpp's name of the pre-tokenizer; empty: found from tokenizer.json
    package: str = "app.edgelm"  # the app's name for Android: apps of several names stand side by side
    chat: bool = True  # ask through the checkpoint's chat template, if it has one
    key: Path | None = None  # keystore to sign with; none: the debug key
    alias: str = "edgelm"  # of the key in it
    password: str = "EDGELM_KEY_PASSWORD"  # name of the environment variable that holds the keystore's password

    def __post_init__(self) -> None:
        if not _PACKAGE.fullmatch(self.package) or len(self.package) > _LONGEST_PACKAGE:
            mend = "write words of small letters with points between, such as org.example.island"
            raise BadOption(f"package={self.package} is no name of an app", mend=mend)

    @property
    def tools(self) -> dict[str, str]:
        """Versions of the exporter, of what the runner is made of, and of what made the APK."""
        return {"gguf": version("gguf"), **build.tools(_runner_target()), **find_tools().versions()}

    def build(self, checkpoint: Checkpoint, out: Path, progress: Progress) -> None:
        """Write the bundle's files into the folder `out`.

        Raises:
            MissingInput, MissingPackage: a tool is not installed; said before anything is made.
            Unsupported: llama.cpp does not run this model or tokenizer.
            BadFile: the checkpoint, or its chat template, is damaged.
            EdgelmError: a tool failed.
        """
        tools = find_tools()
        key = own_key(self.key, self.alias, self.password) if self.key else debug_key(tools, progress)
        begins = read_vocabulary(checkpoint, self.pre).add_bos
        runner = build.built(_runner_target(), progress)
        GGUF(dtype=self.dtype, pre=self.pre).build(checkpoint, out, progress)
        place_runner(runner, out / RUNNER)
        card = card_of(
            checkpoint, package=self.package, dtype=self.dtype, begins=begins, chat=self.chat,
            digest=checkpoint.compute_digest(counted("digest of the checkpoint", checkpoint.path, progress)),
            model=_listed(out / MODEL, progress),
        )  # fmt: skip
        build_apk(App(self.package, card["name"], card, runner), out / APK, tools, key, progress)
        write_passage(out, card)
        write_scripts(out, self._values(card, out, key))

    def _values(self, card: dict[str, Any], out: Path, key: Key) -> dict[str, object]:
        """What the scripts and the README say."""
        model, runner, work = card["model"], _listed(out / RUNNER), card["workload"]
        memory = model["size"] + card["kv_bytes"] * card["context"]
        own = f"{model['sha256'][:8]}{runner['sha256'][:8]}"
        return {
            "NAME": card["name"], "PACKAGE": self.package, "ACTIVITY": ACTIVITY, "DTYPE": self.dtype,
            "MODEL_SHA256": model["sha256"], "MODEL_SIZE": model["size"], "MODEL_SHOWN": size(model["size"]),
            "RUNNER_SHA256": runner["sha256"], "RUNNER_SIZE": runner["size"],
            "APK_SHA256": sha256_file(out / APK), "FOLDER": f"/data/local/tmp/edgelm-{own}",
            "CONTEXT": card["context"], "MEMORY": size(memory),
            "BEFORE": in_json(card["before"]), "BEHIND": in_json(card["behind"]),
            "BEGINS": "yes" if card["begins"] else "no",
            "PROMPT_TOKENS": work["prompt_tokens"], "GENERATED_TOKENS": work["generated_tokens"],
            "REPEATS": work["repeats"],
            "SIGNER": f"the key '{key.alias}' of {key.store.name}" if self.key else "a debug key of this machine",
        }  # fmt: skip


def _runner_target() -> str:
    """Against Android's own C library where its development kit is there; else a static one, which needs none."""
    return "android-ndk" if os.environ.get("ANDROID_NDK") else "aarch64"


def _listed(file: Path, progress: Progress = lambda what, done, of: None) -> dict[str, Any]:
    size = file.stat().st_size
    return {"sha256": sha256_file(file, counted("digest of the weights", file, progress)), "size": size}
