"""What all pages are made with: templates beside the module that fills them, strict and escaped."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from edgelm.errors import MissingPackage


def environment(module: str, *writers: Callable[..., str]) -> Any:
    """A jinja2 environment: names that are not given are errors, values are escaped.

    Args:
        module: the `__file__` of the module whose templates lie beside it.
        writers: filters, by their names.

    Raises:
        MissingPackage: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise MissingPackage("jinja2", "page") from None
    return _environment(jinja2, module, writers)


@cache  # so that templates are compiled once
def _environment(jinja2: Any, module: str, writers: tuple[Callable[..., str], ...]) -> Any:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(module).parent),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    made.filters |= {writer.__name__: writer for writer in writers}
    return made
