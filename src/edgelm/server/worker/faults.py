"""Who answers for a step that did not do what it should.

What a step says decides nothing: a model can say anything. Whether the platform failed is seen on the platform.
"""

from __future__ import annotations

from typing import Literal

from edgelm.errors import EdgelmError
from edgelm.server.worker.executors.base import Ended

_BEYOND = {
    "memory": ("out-of-memory", "more memory was used than there is"),
    "time": ("time-limit", "the time was over"),
    "processes": ("process-limit", "more processes were started than are allowed"),
    "disk": ("disk-limit", "more was written than is allowed"),
}
MEND, _WHY = "mend: ", "why: "  # how lines of an error begin
_KILLED = -9  # the box itself, which nothing within can do


class Fault(EdgelmError):
    """A job cannot go on. `code` is the cause, as pages name it; `away`, that a host is which the package names.

    The sentence is for the team, too; `mend` is for whoever keeps this machine alone.
    """

    def __init__(
        self, fault: Literal["platform", "participant"], code: str, sentence: str, *, away: bool = False, mend: str = ""
    ) -> None:
        super().__init__(sentence, mend=mend)
        self.fault, self.code, self.away = fault, code, away


def fault_of(name: str, ended: Ended, said: str, *, well: bool = True) -> Fault:
    """The fault of a step that ended so.

    Args:
        name: of the step.
        ended: how it did.
        said: its last words; empty where they are nobody's to read.
        well: whether the platform is: its disk has room, and boxes start.
    """
    if ended.reason in _BEYOND:
        code, why = _BEYOND[ended.reason]
        return Fault("participant", code, f"{name}: {why}")
    last = _last_words(said)
    if ended.reason == "cancelled" or ended.code == _KILLED:
        return platform(f"{name} was ended from outside", last)
    if not well:
        return platform(f"{name} had no room, or no box, on this machine", last)
    return Fault("participant", "crash", _said(f"{name} ended with code {ended.code}", last))


def platform(what: str, last: str = "", mend: str = "") -> Fault:
    """A fault of the platform's own, with a step's last words."""
    return Fault("platform", "platform-fault", _said(what, last), mend=mend)


def ours(name: str, ended: Ended, said: str) -> Fault:
    """The fault of a step of the worker's own, which no model had a part in."""
    lines = _last_lines(said)
    mend = next((line.removeprefix(MEND) for line in lines[1:] if line.startswith(MEND)), "")
    last = "; ".join(line for line in lines if not line.startswith(MEND))
    return platform(f"{name} ended with {ended.reason} {ended.code}", last, mend)


def _last_words(said: str) -> str:
    return "; ".join(_last_lines(said))


def _last_lines(said: str) -> list[str]:
    """The last line; of an error that edgelm tells, what it is, why, and the mend."""
    lines = said.strip().splitlines()[-3:]
    while not all(line.startswith((_WHY, MEND)) for line in lines[1:]):
        lines = lines[1:]
    return lines


def _said(what: str, last: str) -> str:
    return (f"{what}: {last}" if last else what)[:500]
