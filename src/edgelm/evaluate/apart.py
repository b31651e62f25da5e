"""Asking in one place and marking in another: bare requests are made, and answers marked, away from the model.

    python -m edgelm.evaluate.apart render ORDERS      ORDERS: JSON, see `Orders`
    python -m edgelm.evaluate.apart mark ORDERS

`render` writes `requests.jsonl` into the folder `out`, to be answered by `evaluate.bare`, and `keys.json`: by task, the
keys of its requests, texts to time the model with, and the key of a fixed text. `mark` finds answers in `out/log`, and
makes the report there. Neither runs the checkpoint; both know what is expected, and belong to a place that the model
cannot see.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint, validate
from edgelm.data.folder import DataFolder
from edgelm.devices.prompt import reordered
from edgelm.engines.base import Request
from edgelm.errors import BadOption, exit_code
from edgelm.evaluate.bare import code, lines_of, shuffled
from edgelm.evaluate.benchmarks import Asked
from edgelm.evaluate.fixed_text import fixed_text
from edgelm.evaluate.questions import Selection, Shard, questions
from edgelm.evaluate.run import evaluate
from edgelm.files import parse_json, read_bytes, write_bytes, write_json
from edgelm.plugins import parse
from edgelm.tasks.holdout.load import holdout_tasks
from edgelm.tasks.holdout.sealed import read_key, unsealed

REQUESTS, KEYS = "requests.jsonl", "keys.json"
_NO_SHARE = Shard(1_000_000_000, 1_000_000_000)  # the part of the rows that has none: nothing is asked


class Orders(BaseModel):
    """What is asked of which checkpoint. Places are paths; `seed` and `key` are files that hold secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: Path
    engine: str
    out: Path
    prompting: Prompting | None = None
    data: Path | None = None
    tasks: tuple[str, ...] = ()
    holdouts: tuple[Path, ...] = ()  # sealed
    key: Path | None = None  # of the hold-outs
    seed: Path | None = None  # of the order
    submission: str = ""  # that the order is made for
    track: str = ""  # that the timed texts are drawn for
    texts: int = 0  # to time the model with, each in another order; with any, a fixed text is asked, too


def render(orders: Orders) -> None:
    """Write the bare requests of all tasks, and which are whose."""
    checkpoint, engine = Checkpoint(orders.checkpoint), parse("engines", orders.engine)
    prompting = orders.prompting or checkpoint.prompting
    settings = {"checkpoint": checkpoint.digest, "engine": engine.identity, "prompting": prompting}
    with _asked(orders) as asked:
        made = [questions(task, data, Selection(), settings) for task, data in asked]
    secret = read_bytes(orders.seed, 1000) if orders.seed else b""
    others: list[Request] = []
    told: dict[str, Any] = {
        "prompting": prompting, "tasks": {each.task.label: [one.key for one in each.requests] for each in made},
        "texts": [_text(secret, orders.track, number) for number in range(orders.texts)],
    }  # fmt: skip
    if orders.texts and hasattr(engine, "around"):  # it answers with a model that is timed, too
        fixed, words = fixed_text(checkpoint.context, settings)
        others.append(fixed)
        told["fixed"] = {"key": fixed.key, "words": words}
    write_bytes(orders.out / REQUESTS, lines_of(shuffled(made, engine, secret, orders.submission, others)))
    write_json(orders.out / KEYS, told)


def mark(orders: Orders) -> None:
    """Make the report from the answers that are there.

    Raises:
        InputError: as tasks and data raise; no report is made where answers are missing.
    """
    with _asked(orders) as asked:
        evaluate(Checkpoint(orders.checkpoint), asked, parse("engines", orders.engine), orders.out,
                 prompting=orders.prompting, shard=_NO_SHARE)  # fmt: skip


def _text(secret: bytes, track: str, number: int) -> str:
    """The passage of a track, in an order that only the secret tells."""
    return reordered(lambda place: code(secret, "throughput", track, str(number), str(place)))


@contextlib.contextmanager
def _asked(orders: Orders) -> Iterator[Asked]:
    """The tasks, each with its data; hold-outs are open while the block runs."""
    data = DataFolder(orders.data, offline=True)
    with contextlib.ExitStack() as opened:
        asked: Asked = [(parse("tasks", spec), data) for spec in orders.tasks]
        for file in orders.holdouts:
            if orders.key is None:
                raise BadOption(f"{file} has no key")
            asked += holdout_tasks(opened.enter_context(unsealed(file, read_key(orders.key))))
        yield asked


def main(words: Sequence[str]) -> int:
    """See the module."""
    verb, text = words
    do = {"render": render, "mark": mark}[verb]
    return exit_code(lambda: do(validate(Orders, parse_json(text, "orders"), "orders")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
