"""The engine that answers were made with, as far as a report's own words may be trusted to choose one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgelm.engines.base import Engine
from edgelm.errors import Unsupported
from edgelm.plugins import parse

OPEN = ("hf", "local")  # engines whose model lies open to be timed
LARGEST = 256  # rows of a batch that a stranger's report may ask for
CHOICES = {"dtype": ("float32", "float16", "bfloat16"), "truncate": ("left", "mid", "room")}


def engine_like(identity: Mapping[str, Any]) -> Engine:
    """The engine with the batch, dtype and truncation that a report names.

    Its device is the one here, and code that a checkpoint brings is never run because its own report says so.

    Raises:
        Unsupported: it is none of those that can be timed as they answer, or has settings that they do not know.
    """
    name, batch = identity.get("engine"), identity.get("batch")
    sound = name in OPEN and isinstance(batch, int) and not isinstance(batch, bool) and 1 <= batch <= LARGEST
    if not sound or any(identity.get(key) not in values for key, values in CHOICES.items()):
        raise Unsupported(f"the answers were made by an engine that cannot be had like this: {name!r:.40}",
                          mend="choose one: --engine hf, or --engine local")  # fmt: skip
    settings = [f"batch={batch}", *(f"{key}={identity[key]}" for key in CHOICES)]
    engine: Engine = parse("engines", f"{name}:{','.join(settings)}")
    return engine
