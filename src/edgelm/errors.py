"""The one exception tree: every error says what happened, why, and how to mend it.

    EdgelmError                 exit code 3: our fault
    └── InputError              exit code 2: something the user gave
        ├── MissingInput        a file, folder, row or field that must be there is not
        ├── BadFile             a file that is there but cannot be read as what it should be
        ├── BadOption           an option's name or value is wrong
        ├── UnknownName         no plug-in, source or shape has that name
        ├── Unsupported         understood, but cannot be done with this input
        ├── MissingPackage      an optional package is not installed
        ├── Offline             the network would be needed and may not be used
        └── NoSpace             the disk is full

Exit code 1 is no error: it says that a check ran and found something (`edgelm check`).
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable

EXIT_GOOD, EXIT_FINDINGS, EXIT_INPUT, EXIT_FAULT = 0, 1, 2, 3


class EdgelmError(Exception):
    """What happened, and optionally why and the mend. `str()` gives all three, one a line."""

    exit_code = EXIT_FAULT

    def __init__(self, what: str, *, why: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.mend = what, why, mend

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"why: {self.why}")
        if self.mend:
            lines.append(f"mend: {self.mend}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Callable[..., EdgelmError], tuple[type[EdgelmError], str, str, str]]:
        """Travel between processes whole: class, what, why and mend, whatever the class is made from."""
        return _arrived, (type(self), self.what, self.why, self.mend)


def _arrived(kind: type[EdgelmError], what: str, why: str, mend: str) -> EdgelmError:
    error = kind.__new__(kind)
    EdgelmError.__init__(error, what, why=why, mend=mend)
    return error


class InputError(EdgelmError):
    """Something the user gave is wrong; nothing was lost and nothing half-made is left."""

    exit_code = EXIT_INPUT


class MissingInput(InputError):
    """A file, folder, row or field that must be there is not."""


class BadFile(InputError):
    """A file is there but cannot be read as what it should be."""


class BadOption(InputError):
    """An option's name or value is wrong."""


class Unsupported(InputError):
    """The request is understood, but cannot be carried out on this input."""


class Offline(InputError):
    """The network would be needed and may not be used."""


class NoSpace(InputError):
    """The disk is full; what was already complete is kept."""


class UnknownName(InputError):
    """No plug-in, source or shape has that name; the mend is the nearest one that exists."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        mend = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known) or 'none'}"
        super().__init__(f"no {kind} called '{name}'", mend=mend)


class MissingPackage(InputError):
    """An optional package is not installed. The mend installs from the checkout: no package index has edgelm."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{package}', which is not installed",
            mend=f"pip install -e '.[{extra}]' in the checkout of edgelm",
        )


def exit_code(work: Callable[[], object]) -> int:
    """Do it; the code that a program ends with. An error is told on standard error."""
    try:
        work()
    except EdgelmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0
