"""One budget of time for everything that a command does, engine calls included."""

from __future__ import annotations

import time


class Deadline:
    """A point in monotonic time.

    Args:
        seconds: Budget from now on; `None` means no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def remaining(self, at_most: float | None = None) -> float | None:
        """Seconds left (never negative), bounded by `at_most`; `None` if neither bounds it."""
        if self._end is None:
            return at_most
        left = max(0.0, self._end - time.monotonic())
        return left if at_most is None else min(left, at_most)

    @property
    def expired(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end
