"""Whether a measurement can be believed: from readings and answers alone, outside the box, without the model.

    python -m edgelm.verify.compliance ORDERS      ORDERS: JSON, see `Orders`

writes `out`, a JSON list of what each test says; see `verify.timed` for where the readings come from.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from edgelm.checkpoint import validate
from edgelm.errors import BadFile, exit_code
from edgelm.evaluate.fixed_text import word_perplexity
from edgelm.files import JsonLog, parse_json, write_json
from edgelm.report import Report, Times
from edgelm.verify.agreement import Agreement, agreement
from edgelm.verify.hidden import hidden_prompts
from edgelm.verify.perplexity import same_perplexity
from edgelm.verify.repeated import repeated_prompt
from edgelm.verify.result import Result
from edgelm.verify.self_agreement import self_agreement


class Hidden(BaseModel):
    """What was asked between the repeats: the keys, of which how many a model answers twice alike, and the text's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[str, ...]
    same: int  # of them
    fixed: str  # key of the fixed text
    words: int  # in it


class Orders(BaseModel):
    """What is held against what. Places are paths."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    report: Path  # folder of the measurement's report
    answers: Path  # log of what was answered between the repeats
    journal: Path  # log of the accuracy run
    out: Path
    hidden: Hidden | None = None


class Readings(BaseModel):
    """What a box read of the clock beside the repeats, and the arithmetic that it timed a model in, and asked it in."""

    model_config = ConfigDict(frozen=True, strict=True)

    distinct_ns: Times = Field(default_factory=list)
    dtype: str | None = None
    asked_dtype: str | None = None

    def soften(self, found: Result) -> Result:
        """A test whose two sides were computed in different arithmetic accuses nobody."""
        if self.dtype == self.asked_dtype or found.verdict != "invalid":
            return found
        what = f"{found.what}; timed in {self.dtype}, asked in {self.asked_dtype}"
        return replace(found, verdict="doubtful", what=what)


def results(orders: Orders) -> list[Result]:
    """M-03; M-10, M-02 and M-05 where anything was asked.

    Raises:
        InputError: a file is not what it should be.
    """
    speed = Report.load(orders.report).speed
    try:
        readings = validate(Readings, (speed.model_extra or {}) if speed else {}, "the readings")
    except BadFile:
        readings = Readings()
    if speed is None or len(readings.distinct_ns) != speed.workload.repeats:
        return [Result("M-03", "one prompt repeated", "invalid", "runs with prompts of their own are missing")]
    found = [repeated_prompt(readings.distinct_ns, speed.repeats_ns)]
    if orders.hidden:
        itself = Agreement(orders.hidden.same, len(orders.hidden.keys))
        found += [self_agreement(itself), *(readings.soften(each) for each in _asked(orders, orders.hidden, itself))]
    return found


def _asked(orders: Orders, hidden: Hidden, itself: Agreement) -> Iterator[Result]:
    """M-02 and M-05: both answers to the same questions, by the same model or another."""
    usual, between = (_answers(log) for log in (orders.journal, orders.answers))
    yield hidden_prompts(agreement(usual, between, {key: key for key in hidden.keys}), itself)
    try:
        weights = [word_perplexity(each[hidden.fixed].text, hidden.words) for each in (usual, between)]
    except (KeyError, BadFile):
        yield Result("M-05", "perplexity of a fixed text", "invalid", "the fixed text was not weighed")
    else:
        yield same_perplexity(*weights)


def _answers(log: Path) -> Mapping[str, Any]:
    return {row["key"]: SimpleNamespace(text=row["text"], tokens=row["tokens"])
            for row in JsonLog(log).read(repair=False)}  # fmt: skip


def judge(orders: Orders) -> None:
    """Write down what each test says."""
    write_json(orders.out, [each.as_json() for each in results(orders)])


def main(words: Sequence[str]) -> int:
    """See the module."""
    return exit_code(lambda: judge(validate(Orders, parse_json(words[0], "orders"), "orders")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
