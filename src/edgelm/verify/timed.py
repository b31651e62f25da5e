"""A submitted model measured as `edgelm measure` does it, with hidden questions and other prompts between the repeats.

    python -m edgelm.verify.timed ORDERS      ORDERS: JSON, see `Orders`

belongs into a box. It finds nothing out: `verify.compliance` does, outside, from the readings and answers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from edgelm.chat import Prompting
from edgelm.checkpoint import Checkpoint, validate
from edgelm.devices.local import Local
from edgelm.errors import Unsupported, exit_code
from edgelm.files import parse_json
from edgelm.measure.run import measure
from edgelm.plugins import parse
from edgelm.report import Workload
from edgelm.rules import Rules


class Orders(BaseModel):
    """What is measured, how, and what comes between. Places are paths."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: Path
    out: Path  # a new folder: the report
    device: str
    rules: str
    texts: Path  # JSON list: of what the repeated prompt is made, then those that are never the same
    requests: Path  # hidden questions
    answers: Path  # a new log: their answers
    engine: str
    prompting: Prompting


@dataclass(frozen=True)
class Timed(Local):
    """`Local` with a measuring process that follows orders between the repeats."""

    orders: str = ""

    @property
    def command(self) -> tuple[str, ...]:
        """See `Local`."""
        return ("-P", "-m", "edgelm.verify.between")

    def job(self, checkpoint: Checkpoint, workload: Workload) -> dict[str, Any]:
        """See `Local`."""
        return super().job(checkpoint, workload) | {"orders": self.orders}


def timed(orders: Orders) -> None:
    """Measure, and write the report and the answers.

    Raises:
        Unsupported: the device is none that can be asked between its repeats.
        EdgelmError: as `measure` raises.
    """
    device, rules = parse("devices", orders.device), parse("rules", orders.rules)
    if not isinstance(device, Local):
        raise Unsupported(f"{orders.device} cannot be asked between its repeats", mend="measure on local")
    measure(Checkpoint(orders.checkpoint), Timed(**vars(device), orders=orders.model_dump_json()), workload_of(rules),
            orders.out, lambda *_: None)  # fmt: skip


def workload_of(rules: Rules) -> Workload:
    """What rules have measured."""
    return Workload(prompt_tokens=rules.prompt_tokens, generated_tokens=rules.generated_tokens, batch=rules.batch,
                    repeats=rules.repeats)  # fmt: skip


def main(words: Sequence[str]) -> int:
    """See the module."""
    return exit_code(lambda: timed(validate(Orders, parse_json(words[0], "orders"), "orders")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
