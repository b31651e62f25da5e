"""Who answers for a step that did not do what it should."""

from __future__ import annotations

from typing import Literal

from edgelm.errors import EdgelmError
from edgelm.server.worker.executors.base import Ended

_OURS = ("no space left", "bwrap: ", "setpriv: ", "prlimit: ")  # in what a step says last
_SAID = {
    "memory": ("out-of-memory", "more memory was used than there is"),
    "time": ("time-limit", "the time was over"),
    "processes": ("crash", "more processes were started than are allowed"),
    "disk": ("crash", "more was written than is allowed"),
}


class Fault(EdgelmError):
    """A job cannot go on. `code` is the cause, as slots and pages name it."""

    def __init__(self, fault: Literal["platform", "participant"], code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.fault, self.code = fault, code


def fault_of(name: str, ended: Ended, said: str) -> Fault:
    """The fault of a step that ended so.

    Args:
        name: of the step.
        ended: how it did.
        said: its last words. What a model says may only make the platform answer for it, which costs tries, no slot.
    """
    if ended.reason in _SAID:
        code, why = _SAID[ended.reason]
        return Fault("participant", code, f"{name}: {why}")
    last = said.strip().splitlines()[-1:] or [""]
    if ended.reason == "cancelled" or ended.code == -9 or any(sign in last[0].lower() for sign in _OURS):
        return Fault("platform", "platform-fault", f"{name} was ended from outside: {last[0]}"[:500])
    return Fault("participant", "crash", f"{name} ended with code {ended.code}: {last[0]}"[:500])
