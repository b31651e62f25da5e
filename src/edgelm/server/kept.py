"""What is alike for all visitors is made once in a while, however many ask: a crowd costs what one reader does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

_MOST = 64  # answers that are kept


class Kept:
    """Texts that were made a moment ago. Whoever asks while one is made waits for it.

    Args:
        seconds: that a text is kept; nothing is if 0.
        clock: seconds of a clock that only goes on.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._texts: dict[Hashable, tuple[float, str]] = {}
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], str]) -> str:
        """The text of that key, made anew if there is none or it is too old."""
        if not self._seconds:
            return make()
        with self._lock:
            if len(self._making) >= _MOST:
                self._making.clear()
                self._texts.clear()
            making = self._making.setdefault(key, threading.Lock())
        with making:
            made, text = self._texts.get(key, (0.0, ""))
            if key not in self._texts or self._clock() - made > self._seconds:
                text = make()
                self._texts[key] = (self._clock(), text)
            return text
