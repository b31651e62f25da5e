"""CPU and wall seconds of a block, of all threads of this process."""

from __future__ import annotations

import time


class Clock:
    """`with Clock() as clock: …`, then `clock.seconds`."""

    def __enter__(self) -> Clock:
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = {"cpu": time.process_time() - self._cpu, "wall": time.perf_counter() - self._wall}
