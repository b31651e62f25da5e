"""The server's log on stderr: one line an event, for programs as JSON, for people plain."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def configure(form: Literal["json", "plain"]) -> None:
    """Write our events, and warnings of what lies below, to stderr from now on."""
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()] if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )  # fmt: skip
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.add_log_level, *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )  # fmt: skip
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("edgelm").setLevel(logging.INFO)
