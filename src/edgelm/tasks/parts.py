"""A task's subsets: which of them are asked, and what a task is called that asks only some."""

from __future__ import annotations

from collections.abc import Sequence

from edgelm.errors import BadOption, UnknownName
from edgelm.files import sha256_bytes

# A subset is a data set of its own in OpenCompass and begins a batch, so its rows are numbered from a round place.
PLACES = 1024
_LONGEST = 100  # characters of names in a label, which is a file's name, too


def require_subsets(asked: Sequence[str], known: Sequence[str], task: str) -> None:
    """Do nothing if all that are asked are known.

    Raises:
        UnknownName: one is not.
        BadOption: one is asked twice.
    """
    for name in asked:
        if name not in known:
            raise UnknownName(f"subset of {task}", name, known)
    if len(set(asked)) < len(asked):
        raise BadOption(f"subsets={'+'.join(asked)} names a subset twice", mend="name each once")


def part(asked: Sequence[str], known: Sequence[str]) -> str:
    """What follows a task's name: nothing for all of it, else the names of its subsets, or a digest of many names."""
    if len(asked) in (0, len(known)):
        return ""
    names = "+".join(name for name in known if name in asked)
    digest = sha256_bytes(names.encode())[:8]
    return f"-{names}" if len(names) <= _LONGEST else f"-{len(asked)}-of-{len(known)}-{digest}"
