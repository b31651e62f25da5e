"""Enter a box on the node of a cluster that a step was sent to, with the cards that the cluster chose there.

`python -m edgelm.server.worker.boxes.enter ORDERS`, as `ModelBox.words` gives them. A box that the node's kernel cannot
hold as it was tried on the worker's machine does not start.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from edgelm.server.worker.boxes import accelerators
from edgelm.server.worker.model_box import RUNGS, ModelBox


def main() -> None:
    """Become the command."""
    orders = json.loads(sys.argv[1])
    [rung] = (each for each in RUNGS if each.kind == orders["kind"])
    box = ModelBox(
        rung.kind,
        devices=accelerators.nvidia(),
        memory=orders["memory"],
        rung=rung,
        landlock=orders["landlock"],
        calls=bytes.fromhex(orders["calls"]),
    )
    writes = Path(orders["writes"]) if orders["writes"] else None
    words = box.words(orders["words"], map(Path, orders["readable"]), writes)
    os.execvpe(words[0], words, {**os.environ, **accelerators.variables(box.devices)})


if __name__ == "__main__":
    main()
