"""What a fair reader takes an answer to say: a choice, a number or a text. The `fixed` scorers are made of this.

The last "answer is" counts and only its own line is read, so that neither a thought on the way nor a pleasantry behind
it is taken for the answer. Bold, brackets, LaTeX and full-width signs mean nothing, upper and lower case the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_FURTHER = re.compile(r"\n[ \t]*(?:Q|Question)[ \t]*:")  # a base model goes on and asks itself the next question
_STATED = re.compile(
    r"(?i)\b(?:answer|option|choice)[\s*_]*(?:(?:is|(?:would|should|must) be)\b\s*:?|:)"
    r"|(?:答案|选项)(?:应该?)?[\s*_]*(?:[是为选]|:)|####"
)
_LATEX = re.compile(r"\\(?:boxed|text\w*|math\w+|[()\[\]$])")
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {ord("−"): "-", ord("’"): "'"}
_DENIED = re.compile(r"(?i)\bnot\W+(?:option\W+)?[A-Z](?![A-Za-z0-9'])")
# A letter alone; A and I are also words.
_ALONE = r"([{}])(?![A-Za-z0-9'])(?!(?<=[AaIi])\s+(?!(?:is|because|since)\b)[a-z])"
_LETTER = re.compile("|".join((
    r"\A[\W_]*" + _ALONE.format("A-Za-z"),  # in either case where the text begins
    r"[(\[*\"`{]([a-z])[)\]*\"`}]",  # small, in brackets or the like
    r"(?<![A-Za-z0-9'])" + _ALONE.format("A-Z"),
)))  # fmt: skip
_NUMBER = re.compile(r"(?:(?<![\w.)])-)?\$?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])\.\d+")


def choice(answer: str, options: Mapping[str, str]) -> str:
    """The letter of the option that an answer settles on, by letter or by the option's own text; '' if none."""
    for line in _stated(answer):
        if found := next(iter(_letters(line, options)), "") or _named(line, options):
            return found
    whole = _plain(answer)
    letters = _letters(whole, options)
    if not letters:
        return _named(whole, options)
    begins = re.match(rf"(?i)[\W_]*{letters[0]}(?:[^\w\s]|\s*$)", whole)  # `B. bank`, `(b) bank`, `B`
    return letters[0 if begins else -1]


def options(listed: str) -> dict[str, str]:
    """The options of a question by letter: lines such as `A. bank` or `(A) bank`."""
    return dict(re.findall(r"(?m)^\(?([A-Z])[.)] ?(.*)$", listed))


def _letters(text: str, options: Mapping[str, str]) -> list[str]:
    """The letters of options that stand alone in a text, in order; those it denies left out."""
    found = ("".join(groups).upper() for groups in _LETTER.findall(_DENIED.sub(" ", text)))
    return [letter for letter in found if letter in options]


def _named(text: str, options: Mapping[str, str]) -> str:
    """The letter of the one option whose text stands in a text; '' for none or several."""
    text = text.casefold()
    named = {letter: own for letter, own in ((letter, own.casefold()) for letter, own in options.items())
             if own and own in text and re.search(rf"(?<![a-z0-9]){re.escape(own)}(?![a-z0-9])", text)}  # fmt: skip
    longest = [letter for letter, own in named.items()
               if not any(own in other and own != other for other in named.values())]  # fmt: skip
    return longest[0] if len(longest) == 1 else ""


def number(answer: str) -> str:
    """The number that an answer settles on, without commas and currency; '' if none."""
    for line in _stated(answer):
        result = line.rpartition("=")[2]
        line = result if _NUMBER.search(result) else line
        if found := list(_NUMBER.finditer(line)):
            leads = not re.search(r"\w", line[: found[0].start()])
            return _digits(found[0 if leads else -1][0])
    found = list(_NUMBER.finditer(_plain(answer)))
    return _digits(found[-1][0]) if found else ""


def _digits(number: str) -> str:
    return number.replace(",", "").replace("$", "")


def says(answer: str, reference: str) -> bool:
    """Whether what an answer settles on is the reference: a number, a word or a text of several."""
    if re.fullmatch(r"-?\d+", reference):
        return same_number(number(answer), reference)
    lines = _stated(answer) or [line for line in reversed(_plain(answer).splitlines()) if line.strip()]
    said, wanted = (_bare(text) for text in (lines[0] if lines else "", reference))
    if not re.search(r"\w", wanted):  # brackets, with or without blanks
        return said.replace(" ", "") == wanted.replace(" ", "")
    if " " not in wanted:
        said = re.split(r"[^\w'&-]", said)[0]
    return said == wanted


def same_number(number: str, reference: str) -> bool:
    """Whether two numbers are the same but for rounding."""
    try:
        return number == reference or abs(float(number) - int(reference)) < 1e-6
    except (OverflowError, ValueError):
        return False


def _bare(text: str) -> str:
    text = re.sub(r"[*`$\"“”]", "", text).replace(",", " ").casefold()
    return " ".join(text.split()).strip(" .!。'")


def _stated(answer: str) -> list[str]:
    """The line behind each "answer is", the last one first."""
    pieces = _STATED.split(_plain(answer))[1:]
    return [piece.strip().partition("\n")[0] for piece in reversed(pieces) if piece.strip()]


def _plain(answer: str) -> str:
    """An answer without further questions, LaTeX and full-width signs."""
    return _LATEX.sub(" ", _FURTHER.split(answer.strip())[0].translate(_WIDE))
