"""The measuring process of a submitted model: the one of `edgelm measure`, asked and timed otherwise between repeats.

After each repeat a share of the hidden questions is answered, untimed, by the very model that is timed. Beside each
repeat, whose prompt is always the same, stands a run with a prompt of its own; which of the two goes first changes from
pair to pair, so that a machine that slows down or warms up favours none.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from edgelm.checkpoint import Checkpoint, validate
from edgelm.devices import child, clock, loading
from edgelm.devices.base import Measurement
from edgelm.devices.prompt import exact_tokens
from edgelm.devices.timing import Repeat
from edgelm.engines.base import Request
from edgelm.evaluate.asking import answer
from edgelm.evaluate.bare import requests_of, row_of, shares
from edgelm.files import MAX_RECORD, JsonLog, parse_json, read_json
from edgelm.plugins import parse
from edgelm.report import Workload
from edgelm.verify.timed import Orders


class Between:
    """What stands between the repeats.

    Attributes:
        distinct: the runs with a prompt of their own.
    """

    def __init__(self, checkpoint: Checkpoint, workload: Workload, orders: Orders) -> None:
        self._checkpoint, self._workload, self._orders = checkpoint, workload, orders
        self._engine = parse("engines", orders.engine)
        self._session: Any = None  # around the model, once it is loaded
        self.distinct: list[Repeat] = []

    def __call__(self, model: Any, number: int) -> None:
        """After repeat `number`: other runs of this pair and the next, and a share of the questions."""
        if number % 2 == 0:
            self._run(model, number)
        self._ask(model, number)
        if number % 2 == 0 and number + 1 < self._workload.repeats:
            self._run(model, number + 1)

    @cached_property
    def texts(self) -> list[str]:
        """What prompts are made of; the first is that of the repeats."""
        texts: list[str] = read_json(self._orders.texts, most=MAX_RECORD)
        return texts

    @cached_property
    def _prompts(self) -> list[list[int]]:
        """A prompt a pair; made when the memory of the workload was read."""
        encode, vocab = loading.tokenizer_of(self._checkpoint), self._checkpoint.shape.vocab
        return [exact_tokens(encode, self._workload.prompt_tokens, vocab, text) for text in self.texts[1:]]

    @cached_property
    def _shares(self) -> list[list[Request]]:
        return shares(requests_of(self._orders.requests), self._engine, self._workload.repeats)

    def _run(self, model: Any, number: int) -> None:
        self.distinct.append(clock.run(model, self._prompts[number], self._workload))

    def _ask(self, model: Any, number: int) -> None:
        if not self._shares[number]:
            return
        if self._session is None:
            self._session = self._engine.around(model, self._checkpoint, self._orders.prompting)
        with JsonLog(self._orders.answers) as log:
            for replies in answer(self._session, self._shares[number]):
                log.append(map(row_of, replies))

    def facts(self) -> dict[str, Any]:
        """What the speed of a report has of it: readings, and the arithmetic that answers are usually made with."""
        valid = [run for run in self.distinct if run.is_valid(self._workload, self._checkpoint.shape.vocab)]
        return {"distinct_ns": [run.arrived_ns[-1] for run in valid],
                "asked_dtype": self._engine.identity.get("dtype")}  # fmt: skip


def measured(checkpoint: Checkpoint, workload: Workload, *, orders: str, **settings: Any) -> Measurement:
    """What `measure_here` measures, and what came between."""
    between = Between(checkpoint, workload, validate(Orders, parse_json(orders, "orders"), "orders"))
    measurement = child.measure_here(checkpoint, workload, between=between, text=between.texts[0], **settings)
    speed = measurement.speed.model_copy(update=between.facts())
    return measurement.model_copy(update={"speed": speed})


if __name__ == "__main__":
    child.main(measured)
