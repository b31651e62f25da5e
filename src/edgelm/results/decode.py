"""The text of a results file, whatever it was saved as: byte order marks, UTF-16, Latin-1, line ends."""

from __future__ import annotations

import codecs

from edgelm.errors import BadFile

LARGEST = 1 << 20  # bytes: a results file has some hundreds
_SAVE = "save the sheet as “CSV UTF-8” and give that file"
_OTHERS = {
    b"PK\x03\x04": ("an Excel workbook or another zip archive", _SAVE),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", _SAVE),
    b"%PDF": ("a PDF", "give the table that it was printed from, as CSV"),
    b"\x1f\x8b": ("a gzip archive", "unpack it first"),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "unpack it first"),
    b"\x89PNG": ("a picture", "write the figures as CSV"),
}
_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_HTML = ("<!doctype html", "<html", "<head", "<body", "<table", "<?xml")


def decode(data: bytes) -> tuple[str, list[str]]:
    """The text with plain newlines, and what is unusual about how it was saved.

    Raises:
        BadFile: it is no text, or too large; with what it is instead.
    """
    if len(data) > LARGEST:
        raise BadFile(f"{len(data):,} bytes, at most {LARGEST:,} are read", mend="leave the figures alone in the file")
    for start, (kind, mend) in _OTHERS.items():
        if data.startswith(start):
            raise BadFile(f"this is {kind}, whatever its name says", mend=mend)
    encoding, odd = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadFile("the text is damaged", why=str(error.reason), mend="save it as UTF-8") from None
    if "\0" in text:
        raise BadFile("the file is no text", why="it holds NUL characters", mend=_SAVE)
    if text.lstrip()[:20].casefold().startswith(_HTML):
        raise BadFile("this is a web page, not a table", why="it was saved as HTML", mend=_SAVE)
    return _plain_lines(text, odd)


def _encoding(data: bytes) -> tuple[str, list[str]]:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name, [f"{name.removesuffix('-sig').upper()} with a byte order mark"]
    for name, first in (("utf-16-le", 1), ("utf-16-be", 0)):  # half of an ASCII text in UTF-16 is zeros
        zeros, others = data[first::2], data[1 - first :: 2]
        if len(data) >= 4 and 0 not in others and zeros.count(0) > 0.7 * len(zeros):
            return name, ["UTF-16 without a byte order mark"]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1", ["no UTF-8: read as Latin-1"]
    return "utf-8", []


def _plain_lines(text: str, odd: list[str]) -> tuple[str, list[str]]:
    if "\r\n" in text:
        odd = [*odd, "lines end in CR LF"]
        text = text.replace("\r\n", "\n")
    if "\r" in text:
        odd = [*odd, "lines end in CR"]
        text = text.replace("\r", "\n")
    if text and not text.endswith("\n"):
        odd = [*odd, "the last line lacks its newline"]
    return text, odd
