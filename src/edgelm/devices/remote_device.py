"""What `adb` and `ssh` have in common: options, and the way from a bundle to its measurement."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from edgelm.bundle import Bundle
from edgelm.checkpoint import Checkpoint
from edgelm.devices.base import Measurement, Progress
from edgelm.devices.bundled import measured, positions, require_bundle_runnable
from edgelm.devices.remote_facts import facts, memory
from edgelm.devices.remote_runner import started
from edgelm.devices.transport import Link
from edgelm.errors import BadOption, Unsupported
from edgelm.native.runner import Runner
from edgelm.report import Workload


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A device that a bundle is pushed to, and run on."""

    threads: int = 0  # of the runner; 0 leaves what it chooses
    memory_limit: int = 0  # bytes that the runner may take, such as 9GB; 0 sets none
    keep: int = 2  # bundles that stay on the device, the last used ones; 0 removes this one after it ran
    launch: tuple[str, ...] = ()  # words before the program, joined by +, such as taskset+f0
    time_limit: int = 3600  # seconds until a measurement is given up

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name, least in {"threads": 0, "memory_limit": 0, "keep": 0, "time_limit": 1}.items():
            if getattr(self, name) < least:
                raise BadOption(f"{name}={getattr(self, name)} means nothing", mend=f"give {least} or more")

    def connected(self) -> contextlib.AbstractContextManager[Link]:
        """A link to the device, which its block may use."""
        raise NotImplementedError

    def measure(self, model: Checkpoint | Bundle, workload: Workload, progress: Progress) -> Measurement:
        """Bring the bundle onto the device where it is not, and run the workload there.

        Raises:
            Unsupported: it is a checkpoint and no bundle; the device cannot run it.
            Unreachable: there is no such device, or the connection ended; what was pushed stays.
            and others: see `remote_runner.started` and `bundled.measured`.
        """
        if not isinstance(model, Bundle):
            raise Unsupported(
                f"{model.path} is a checkpoint, and a device runs bundles",
                why="it has neither Python nor transformers",
                mend=f"make one, and measure that: edgelm deploy {model.path} android -o BUNDLE",
            )  # fmt: skip
        require_bundle_runnable(model, workload)
        with (
            self.connected() as link,
            self._runner(link, model, positions(workload), progress, self.time_limit) as runner,
        ):
            machine, conditions = facts(link)  # as they are now: pushing may have taken an hour
            return measured(
                runner, model, workload, link.name, progress,
                conditions=conditions, machine=machine, memory=lambda: memory(runner),
            )  # fmt: skip

    @contextlib.contextmanager
    def started(
        self, bundle: Bundle, *, context: int, progress: Progress = lambda what, done, of: None
    ) -> Iterator[Runner]:
        """The bundle's runner on the device, for whatever questions there are."""
        with self.connected() as link, self._runner(link, bundle, context, progress, 0) as runner:
            yield runner

    def _runner(
        self, link: Link, bundle: Bundle, context: int, progress: Progress, time_limit: int
    ) -> contextlib.AbstractContextManager[Runner]:
        return started(
            link, bundle, context=context, threads=self.threads, memory_limit=self.memory_limit, launch=self.launch,
            keep=self.keep, time_limit=time_limit, progress=progress,
        )  # fmt: skip
