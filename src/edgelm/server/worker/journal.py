"""A model's answers: taken from what its box writes, one by one, to the server's journal, which alone is believed.

A line that a box wrote is taken once, if it is an answer to a question that was asked and has none yet. What the box
does to its file later changes nothing.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgelm.checkpoint import validate
from edgelm.errors import BadFile
from edgelm.files import JsonLog
from edgelm.server.worker import plain
from edgelm.server.worker.faults import Fault
from edgelm.server.worker.steps import Steps

LOG = "answers.jsonl"  # in the folder that a box writes to
LONGEST = 1 << 20  # bytes of an answer
MOST = 256 << 20  # bytes of all answers of a model
_PIECE = 4 << 20  # bytes that are taken at once
_Tokens = Annotated[int, Field(ge=0, lt=2**31)]


class Line(BaseModel):
    """An answer, as `engines.base.Reply` has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    key: str
    text: str
    tokens: _Tokens
    prompt_tokens: _Tokens
    finish: Literal["stop", "length"]
    note: Annotated[str, Field(max_length=500)] | None = None


class Journal:
    """A model's answers.

    Args:
        steps: of the job.
        name: of the journal.

    Attributes:
        texts: what was answered, by key.
        tokens: how many it has, by key.
    """

    def __init__(self, steps: Steps, name: str) -> None:
        self._steps, self._name = steps, name
        self.texts: dict[str, str] = {}
        self.tokens: dict[str, int] = {}
        data = self.read()
        self._size = len(data)
        for row, _ in JsonLog.rows(io.BytesIO(data), f"the journal {name}"):
            self.texts[row["key"]], self.tokens[row["key"]] = row["text"], row["tokens"]

    def read(self) -> bytes:
        """All of it, as the server has it."""
        return self._steps.bench.calls.journal(self._steps.job, self._name)

    def take(self, writes: Path, asked: Collection[str], taken: int) -> int:
        """Take the next whole lines that a box has written.

        Args:
            writes: the box's folder.
            asked: the keys of what was asked.
            taken: bytes of its file that were taken before.

        Returns:
            Bytes that are taken now; `taken` if there is nothing more.

        Raises:
            Fault: the participant's: what is written is no answer, or too long.
        """
        piece = self._steps.from_box(self._name, lambda: plain.read(writes, LOG, _PIECE, taken))
        lines = piece[: piece.rfind(b"\n") + 1]
        if len(piece) - len(lines) > LONGEST:
            raise self._broken("an answer is too long")
        rows = list(self._rows(lines, asked))
        if rows:
            new = b"".join(JsonLog.line(row.model_dump(exclude_none=True)) for row in rows)
            if self._size + len(new) > MOST:
                raise self._broken(f"all answers have more than {MOST:,} bytes")
            calls = self._steps.bench.calls
            for part in _parts(new, min(_PIECE, self._steps.job.part_bytes)):
                self._size = calls.add(self._steps.job, self._name, self._size, part)
            self.texts |= {row.key: row.text for row in rows}
            self.tokens |= {row.key: row.tokens for row in rows}
        return taken + len(lines)

    def _rows(self, lines: bytes, asked: Collection[str]) -> Iterator[Line]:
        """Answers to what has none yet; a second answer is left aside."""
        seen = set(self.texts)
        for line in lines.splitlines(keepends=True):
            try:
                row = next(JsonLog.rows(io.BytesIO(line), LOG), None)
                answer = validate(Line, row[0] if row else None, LOG)
            except BadFile:
                raise self._broken("what was written is no answer") from None
            if len(line) > LONGEST:
                raise self._broken("an answer is too long")
            if answer.key not in asked:
                raise self._broken("there is an answer to what was not asked")
            if answer.key not in seen:
                seen.add(answer.key)
                yield answer

    def _broken(self, why: str) -> Fault:
        return Fault("participant", "crash", f"{self._name}: {why}")


def answers_of(writes: Path) -> dict[str, Line]:
    """What a box has written of answers that are only compared, by key.

    Raises:
        BadFile: it is none, or more than a box may write.
    """
    data = plain.read(writes, LOG, MOST)
    lines = [validate(Line, row, LOG) for row, _ in JsonLog.rows(io.BytesIO(data), LOG)]
    return {line.key: line for line in lines}


def _parts(lines: bytes, most: int) -> Iterator[bytes]:
    """Whole lines, at most so many bytes at once, or one line."""
    at = 0
    while at < len(lines):
        end = lines.rfind(b"\n", at, at + most) + 1 or lines.index(b"\n", at) + 1
        yield lines[at:end]
        at = end
