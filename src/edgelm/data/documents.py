"""A document of training text, and what of a row is one: `text`, Alpaca's fields, or columns that somebody names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgelm.errors import BadFile, MissingInput

END = "<|endoftext|>"  # between the documents of a plain text file
ALPACA = ("instruction", "input", "output")
BILINGUAL = "zh_"  # before Alpaca's fields in the edition that has both languages
FIELDS = ("text", *ALPACA, *(BILINGUAL + field for field in ALPACA))
_MEND = "give rows with text, or with instruction, input and output"


@dataclass(frozen=True)
class Document:
    """Plain text, or the answer to a question."""

    text: str
    question: str | None = None


def plain(content: str) -> list[Document]:
    """The documents of a plain text."""
    return [Document(text.strip()) for text in content.split(END) if text.strip()]


def is_text(row: object, columns: Sequence[str] = ()) -> bool:
    """Whether a row has the fields of a document."""
    return isinstance(row, dict) and (
        "text" in row or "instruction" in row or BILINGUAL + "instruction" in row or _has(row, columns)
    )


def document(row: Any, where: str, columns: Sequence[str] = ()) -> Document:
    """A row as a document: the named columns joined if it has them all, else Alpaca's fields, else `text`.

    Raises:
        MissingInput: it has none of these, or lacks one of Alpaca's fields.
        BadFile: it is no JSON object, or a field is no text.
    """
    if not isinstance(row, dict):
        raise BadFile(f"{where} is no JSON object", mend=_MEND)
    if _has(row, columns):
        return Document(joined([_field(row, column, where) for column in columns]))
    prefix = BILINGUAL if f"{BILINGUAL}instruction" in row else ""
    if f"{prefix}instruction" not in row:
        lacking = next((column for column in columns if column not in row), "text")
        return Document(_field(row, "text" if "text" in row else lacking, where))
    question, answer = (_field(row, prefix + field, where) for field in ("instruction", "output"))
    extra = _field(row, f"{prefix}input", where) if f"{prefix}input" in row else ""
    return Document(answer, f"{question}\n{extra}" if extra else question)


def joined(parts: Sequence[str]) -> str:
    """Pieces of one text in a row: with a space where a word follows and there is none, but not beside Chinese."""
    text = ""
    for part in parts:
        if text and part and part[0].isalnum() and not text[-1].isspace() and not _wide(text[-1]) | _wide(part[0]):
            text += " "
        text += part
    return text


def _has(row: Mapping[str, Any], columns: Sequence[str]) -> bool:
    return bool(columns) and all(column in row for column in columns)


def _wide(character: str) -> bool:
    return character >= "\u2e80"


def _field(row: Mapping[str, Any], field: str, where: str) -> str:
    if field not in row:
        raise MissingInput(f"{where} has no '{field}'", why=f"its fields: {', '.join(row) or 'none'}", mend=_MEND)
    if not isinstance(row[field], str):
        raise BadFile(f"{where}: '{field}' is no text", mend=_MEND)
    return row[field]
