"""A pack out of its file: parsed, held against its schema, and refused if it would show what is expected."""

from __future__ import annotations

import tomllib
from typing import Any

from edgelm.checkpoint import validate
from edgelm.errors import BadFile, UnknownName
from edgelm.files import parse_json
from edgelm.tasks.holdout.folder import HoldOut
from edgelm.tasks.holdout.schema import KINDS, Code, Likelihood, Pack
from edgelm.tasks.holdout.template import places

LARGEST = 1 << 20  # bytes of a pack's own file


def read_pack(data: HoldOut, file: str) -> Pack:
    """The pack that a file of a hold-out describes.

    Raises:
        BadFile: it is too large, not of its format (with line and column), or says what a pack does not say.
    """
    content = data.read(file)
    where = data.root / file
    if len(content) > LARGEST:
        raise BadFile(f"{where} is too large for a pack", why=f"{len(content):,} bytes, {LARGEST:,} are read",
                      mend="rows belong into a .jsonl file beside it")  # fmt: skip
    value = _parsed(content, file, where)
    if not isinstance(value, dict):
        raise BadFile(f"{where} is no pack", why="an object of keys is needed", mend="begin with kind and prompt")
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadFile(f"{where}: there is no kind of pack called {kind!r}",
                      mend=UnknownName("kind", str(kind), KINDS).mend)  # fmt: skip
    model = KINDS[kind]
    for key in value:
        if key not in model.model_fields:
            mend = UnknownName("key", key, model.model_fields).mend
            raise BadFile(f"{where}: a pack of kind {kind} has no key '{key}'", mend=mend)
    pack = validate(model, value, where)
    _require_hidden(pack, where)
    return pack


def _parsed(content: bytes, file: str, where: object) -> Any:
    if file.endswith(".json"):
        return parse_json(_text(content, where), where)
    try:
        return tomllib.loads(_text(content, where))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadFile(f"{where} is not valid TOML", why=str(error), mend="mend the file") from None


def _text(content: bytes, where: object) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadFile(f"{where} is not UTF-8 text", why=f"at line {line}: {error.reason}",
                      mend="save it as UTF-8") from None  # fmt: skip


def _require_hidden(pack: Pack, where: object) -> None:
    """Refuse prompts that show what is expected, and what else would spoil every row alike."""
    for name in places(pack.prompt):
        if name == pack.answer:
            raise BadFile(f"{where}: the prompt shows the column '{name}'", why="it holds what is expected",
                          mend="take it out of the prompt, or name another column as answer")  # fmt: skip
    if pack.subset == pack.answer:
        raise BadFile(f"{where}: the column '{pack.subset}' cannot name the subsets",
                      why="it holds what is expected, and reports name the subsets",
                      mend="name another column")  # fmt: skip
    if isinstance(pack, Code) and places(pack.program).count("answer") != 1:
        raise BadFile(f"{where}: the program must hold {{answer}} once", mend="say where the answer's code stands")
    if isinstance(pack, Likelihood) and pack.prompt.endswith(" "):
        raise BadFile(f"{where}: the prompt ends in a blank", why="it would be tokenised apart from the choice",
                      mend="take it away; separator puts one before each choice")  # fmt: skip
