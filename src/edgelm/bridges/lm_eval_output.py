"""What lm-eval puts on the screen while it works for us: its errors, and its bars where somebody sees them move."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import lm_eval.evaluator
from tqdm import tqdm


@contextlib.contextmanager
def errors_alone() -> Iterator[None]:
    """A block in which lm-eval and git say nothing but errors, and no bar is drawn into a file or pipe."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.ExitStack() as changed:
            changed.enter_context(_replaced(lm_eval.evaluator, "get_git_commit_hash", _commit))
            if not sys.stderr.isatty():
                changed.enter_context(_replaced(tqdm, "__init__", _hidden(tqdm.__init__)))
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _hidden(begin: Any) -> Any:
    """The beginning of a bar that is not drawn, whatever its maker asks for."""

    def begin_hidden(bar: Any, *args: Any, **options: Any) -> None:
        begin(bar, *args, **options | {"disable": True})

    return begin_hidden


def _commit() -> str | None:
    """The commit of the folder that one works in, for the results; None outside of a repository, or without git."""
    with contextlib.suppress(OSError):
        found = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=False)
        return found.stdout.strip() or None
    return None
