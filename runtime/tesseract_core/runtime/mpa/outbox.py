"""Sends what a run logs from a thread of its own, so that a slow or broken server never holds up the computation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_LARGEST_BATCH = 1000
_LONGEST_PAUSE = 5.0  # seconds


class Rejected(Exception):
    """The receiver refuses what it was sent; sending it again will not help.

    Args:
        divisible: A part of it may be accepted.
    """

    def __init__(self, reason: object, *, divisible: bool) -> None:
        super().__init__(reason)
        self.divisible = divisible


class Outbox(Generic[T]):
    """A queue of items that are sent in batches, in order, and sent again when that fails.

    Args:
        send: Delivers a batch. Raises `Rejected` for what will never be accepted; anything else is tried again.
    """

    def __init__(self, send: Callable[[list[T]], None]) -> None:
        self._send = send
        self._changed = threading.Condition()
        self._pending: list[T] = []
        self._refused: list[T] = []
        self._thread: threading.Thread | None = None
        self._deadline: float | None = None
        self.error: Exception | None = None

    def put(self, item: T) -> None:
        """Hand over an item; never waits for the receiver."""
        with self._changed:
            self._pending.append(item)
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="tesseract-outbox", daemon=True)
            self._thread.start()

    def close(self, timeout: float) -> list[T]:
        """Send what is left for up to `timeout` seconds; return the items that were not accepted, in order."""
        if self._thread is None:
            return []
        with self._changed:
            self._deadline = time.monotonic() + timeout
            self._changed.notify()
        self._thread.join(timeout)
        with self._changed:
            return self._refused + self._pending

    def _work(self) -> None:
        pause = 0.1
        while batch := self._next_batch():
            try:
                refused = self._deliver(batch)
            except Exception as error:
                self.error = error
                with self._changed:
                    if self._deadline is not None and time.monotonic() + pause > self._deadline:
                        return
                    self._changed.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE if self._deadline is None else 0.5)
                continue
            pause = 0.1
            with self._changed:
                self._refused += refused
                del self._pending[: len(batch)]

    def _next_batch(self) -> list[T]:
        """Wait for something to send; empty when there is nothing more to come."""
        with self._changed:
            while not self._pending and self._deadline is None:
                self._changed.wait()
            return self._pending[:_LARGEST_BATCH]

    def _deliver(self, batch: list[T]) -> list[T]:
        """Send a batch; return what was refused of it."""
        try:
            self._send(batch)
        except Rejected as error:
            self.error = error
            if not error.divisible or len(batch) == 1:
                return batch
            middle = len(batch) // 2
            return self._deliver(batch[:middle]) + self._deliver(batch[middle:])
        return []
