"""The signed APK: resources by aapt, bytecode by smali, the runner as a native library, aligned and signed.

Equal inputs, tools and key give equal bytes: entries are sorted and carry one fixed date, and RSA signatures have no
chance in them. Another release of Python's zlib may pack differently.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from edgelm import __version__
from edgelm.data.folder import cache_folder
from edgelm.deploy.apk.key import Key
from edgelm.deploy.apk.page import page
from edgelm.deploy.apk.tools import Progress, Tools, run, stage
from edgelm.files import read_bytes, sha256_bytes, tree_files, write_bytes

ACTIVITY = "app.edgelm.Main"
RUNNER = "lib/arm64-v8a/librunner.so"
_SOURCES = Path(__file__).parent
_DATE = (2000, 1, 1, 0, 0, 0)
_STORED = {"resources.arsc"}  # Android 11 and later read it in place, so it may not be packed


@dataclass(frozen=True)
class App:
    """What makes one app differ from another."""

    package: str  # its name for Android
    label: str  # its name for people
    card: Mapping[str, Any]
    runner: Path


def build_apk(app: App, apk: Path, tools: Tools, key: Key, progress: Progress) -> None:
    """Write the signed APK.

    Raises:
        EdgelmError: a tool failed.
        NoSpace: the disk is full.
    """
    dex = _bytecode(tools, progress)
    with tempfile.TemporaryDirectory(prefix="edgelm-apk-") as name:
        folder = Path(name)
        plain, aligned = folder / "plain.apk", folder / "aligned.apk"
        with stage("aapt package", progress):
            linked = _link(app, tools, folder)
        _pack(plain, linked, {"classes.dex": dex, RUNNER: read_bytes(app.runner)})
        with stage("zipalign", progress):
            run([tools.zipalign, "-f", "-p", "4", str(plain), str(aligned)], seconds=120)
        with stage("apksigner sign", progress):
            key.sign(tools, aligned, apk)


def _link(app: App, tools: Tools, folder: Path) -> Path:
    """Manifest, resources and assets in an APK that has no code yet."""
    assets = folder / "assets"
    assets.mkdir()
    (assets / "index.html").write_text(page(), encoding="utf-8")
    (assets / "card.json").write_text(json.dumps(app.card, ensure_ascii=False, sort_keys=True), encoding="utf-8")
    manifest, linked = folder / "AndroidManifest.xml", folder / "linked.apk"
    manifest.write_text(_manifest(app), encoding="utf-8")
    run([tools.aapt, "package", "-f", "-M", str(manifest), "-S", str(_SOURCES / "res"), "-A", str(assets),
         "-I", tools.framework, "-F", str(linked)], seconds=120)  # fmt: skip
    return linked


def _manifest(app: App) -> str:
    text = (_SOURCES / "AndroidManifest.xml").read_text(encoding="utf-8")
    values = {"PACKAGE": app.package, "VERSION": __version__, "LABEL": label_of(app.label)}
    for name, value in values.items():
        text = text.replace(f'"@{name}@"', quoteattr(value))
    return text


def label_of(name: str) -> str:
    """A name as a launcher can show it: short, and without the signs that mean something in a manifest."""
    return re.sub(r"[^\w.+()-]+", " ", name)[:30].strip() or "edgelm"


def _bytecode(tools: Tools, progress: Progress) -> bytes:
    """`classes.dex`: made once for each edition of the sources and the assembler, and kept in the cache."""
    sources = _SOURCES / "smali"
    read = [Path(tools.smali).resolve().name.encode(), *((sources / name).read_bytes() for name in tree_files(sources))]
    kept = cache_folder() / "android" / f"classes-{sha256_bytes(b''.join(read))[:16]}.dex"
    if not kept.is_file():
        with stage("smali assemble", progress), tempfile.TemporaryDirectory(prefix="edgelm-dex-") as folder:
            dex = Path(folder) / "classes.dex"
            run(tools.assemble(sources, dex), seconds=120)
            write_bytes(kept, dex.read_bytes())
    return read_bytes(kept)


def _pack(apk: Path, linked: Path, more: Mapping[str, bytes]) -> None:
    """All entries in one order and with one date."""
    with zipfile.ZipFile(linked) as old:
        entries = {name: old.read(name) for name in old.namelist()} | dict(more)
    with zipfile.ZipFile(apk, "w") as new:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_STORED if name in _STORED else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            new.writestr(entry, entries[name])
