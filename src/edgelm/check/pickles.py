"""Pickles, read as lists of instructions and never loaded: what they would import. Advice, not a proof of safety."""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

from edgelm.archives import zips
from edgelm.check.base import Check, Findings, finding, some
from edgelm.check.look import Model, Package

LARGEST = 64 << 20  # bytes that are read of a file: of it, or of all pickles in it
ENTRIES, MEMBERS = 10_000, 64  # of a zip: at most, and pickles among them
MOST = 1_000_000  # instructions
STREAMS = 16  # pickles behind one another in one file
BEGINNINGS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
# What tensors and arrays need to be put together again: module, and beginnings or endings of names.
HARMLESS = {
    "collections": ("OrderedDict", "defaultdict"), "torch._utils": ("_rebuild_",), "_codecs": ("encode",),
    "torch": ("Size", "device", "float", "bfloat16", "half", "int", "bool"),
    "numpy": ("ndarray", "dtype"), "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"), "torch.serialization": ("_get_layout",),
}  # fmt: skip
PICKLED = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")


def pickles(package: Package) -> Findings:
    """SEC-01: imports beyond those of tensors, in every file that is or holds a pickle, whatever its name."""
    for name in package.files:
        imported = set()
        try:
            for data in pickled(package.path / name, named=name.endswith(PICKLED)):
                imported |= set(imports(data))
        except zipfile.BadZipFile as error:
            if not name.endswith(".apk"):  # which has a check of its own
                yield finding("SEC-01", name, f"a zip that cannot be looked into: {error}")
        alarming = sorted(".".join(one) for one in imported if not _is_harmless(*one))
        if alarming:
            yield finding("SEC-01", name, f"unpickling it would import {some(alarming)}")


def template(model: Model) -> Findings:
    """SEC-01: a chat template that reaches for the attributes from which Python itself is reached."""
    named = model.checkpoint.tokenizer_config.get("chat_template")
    templates = [each.get("template") if isinstance(each, dict) else each
                 for each in (named if isinstance(named, list) else [named])]  # fmt: skip
    if any("__" in str(text) for text in (*templates, model.checkpoint.chat_template)):
        yield finding("SEC-01", model.at("checkpoint"), "the chat template reads double-underscore attributes")


def pickled(path: Path, *, named: bool) -> Iterator[bytes]:
    """The pickles in a file: itself, or those in it if it is a zip as torch writes it. `named`: by its ending.

    Raises:
        zipfile.BadZipFile: it begins as a zip, which is damaged or has too much in it.
    """
    with path.open("rb") as file:
        head = file.read(4)
        if head == b"PK\x03\x04":
            yield from _zipped(path)
        elif head[:2] in BEGINNINGS or named:
            yield head + file.read(LARGEST)


def _zipped(path: Path) -> Iterator[bytes]:
    left, members = LARGEST, 0
    try:
        with zips.opened(path, ENTRIES) as walk:
            for entry, content in walk:
                if not entry.name.endswith(PICKLED):
                    continue
                with content() as file:
                    data = file.read(left + 1)
                left, members = left - len(data), members + 1
                if left < 0 or members > MEMBERS:
                    raise zipfile.BadZipFile("it has more pickles, or larger ones, than are read")
                yield data
    except (*zips.ERRORS, OSError) as error:
        raise zipfile.BadZipFile(str(error)) from None


def imports(data: bytes) -> Iterator[tuple[str, str]]:
    """Module and name of everything that a pickle, and those behind it, would import; up to where it is damaged."""
    stream = io.BytesIO(data)
    for _ in range(STREAMS):
        try:
            yield from _imports(stream)
        except Exception:  # damage, of whatever kind: nothing behind it would be run
            return


def _imports(stream: io.BytesIO) -> Iterator[tuple[str, str]]:
    """The imports up to the next STOP; STACK_GLOBAL takes the two texts before it, which may come from the memo."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    for number, (code, argument, _) in enumerate(pickletools.genops(stream)):
        if number > MOST:
            yield "more than a million", "instructions"
            return
        if code.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            yield module, name
        elif code.name == "STACK_GLOBAL":
            yield tuple(["?", "?", *texts][-2:])  # type: ignore[misc]
        elif code.name.startswith("EXT"):
            yield "the extension registry", str(argument)
        elif code.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            memo[len(memo) if argument is None else int(argument)] = texts[-1] if texts else "?"
        elif code.name in ("GET", "BINGET", "LONG_BINGET"):
            texts.append(memo.get(int(argument or 0), "?"))
        elif code.name in ("POP", "POP_MARK", "DUP"):
            texts.append("?")  # what is taken away again could hide what stays
        elif isinstance(argument, str):
            texts.append(argument)


def _is_harmless(module: str, name: str) -> bool:
    return name.startswith(HARMLESS.get(module, ())) or (module == "torch" and name.endswith("Storage"))


CHECKS = (Check("SEC-01", pickles),)
MODEL_CHECKS = (Check("TOK-03", template),)
