"""What a step of a job is, how it ends, and what every place that runs steps can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

OUT, LOG = "out.txt", "log.txt"  # what a step says on its standard output and error, in its folder
Reason = Literal["exit", "memory", "time", "processes", "disk", "cancelled"]
Use = Literal["hardly", "beside", "alone"]


@dataclass(frozen=True)
class Limits:
    """What a step may use, all its processes together.

    Attributes:
        seconds: of wall time.
        memory: bytes, shared pages counted once.
        processes: at once.
        disk: bytes that it may write, what it says included.
    """

    seconds: float = 24 * 3600
    memory: int = 64 << 30
    processes: int = 400
    disk: int = 4 << 30


@dataclass(frozen=True)
class Step:
    """A command, and where it leaves its traces.

    Attributes:
        name: such as `phi-2/gsm8k`.
        words: the command, with the box that it runs in.
        folder: that `OUT` and `LOG` are written to; it is there.
        writes: the folder that the command may write to, if any.
        env: its whole environment.
        use: of its machine's processors: hardly any, beside other steps, or alone among all steps on that machine. A
            step that uses hardly any is a program of the worker's own, and runs where the worker does.
        trial: a command that ends well wherever the step's box starts; of a step that has none, it is empty.
    """

    name: str
    words: tuple[str, ...]
    folder: Path
    writes: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    use: Use = "hardly"
    trial: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """How a step ended: by itself with a code (below 0: by that signal), or because it went beyond a limit.

    Where another machine ran it and it ended with a fault, `well` says whether its box starts there.
    """

    reason: Reason
    code: int = 0
    well: bool = True


class Executor(Protocol):
    """A place that runs steps. When its worker is gone, so is all that it started, or its lease ends without it."""

    def capabilities(self) -> dict[str, Any]:
        """What it is and has, for people."""
        ...

    def start(self, step: Step) -> str:
        """Start a step; a handle to it."""
        ...

    def poll(self, handle: str) -> Ended | None:
        """How it ended; None while it waits or runs. Once it has ended, nothing that it started runs any more.

        Raises:
            EdgelmError: where it ran is lost, or it never came to run.
        """
        ...

    def cancel(self, handle: str) -> None:
        """End it and all that it started; this returns when they are gone."""
        ...

    def logs(self, handle: str, most: int = 64 << 10) -> str:
        """The last that it said on standard error, at most so many bytes."""
        ...
