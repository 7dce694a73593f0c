"""Sends what a run logs from a thread of its own, so that a slow or broken server never holds up the computation.

Each item is handed to the server's client once; how often that sends it over the network is the client's own affair.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_LARGEST_BATCH = 1000


class Rejected(Exception):
    """The receiver refuses what it was sent.

    Args:
        divisible: A part of it may be accepted.
    """

    def __init__(self, reason: object, *, divisible: bool = False) -> None:
        super().__init__(reason)
        self.divisible = divisible


class Outbox(Generic[T]):
    """A queue of items that are sent in batches, in order, between an opening and a closing.

    Args:
        open: Called first, in the thread. If it fails, nothing is sent, and the outbox has `failed`.
        send: Delivers a batch. Raises `Rejected` where a part of it may be accepted by itself, else anything.
        alone: Whether an item makes a batch of its own.

    Attributes:
        failed: What `open` raised.
        error: What `send` raised last.
    """

    def __init__(self, open: Callable[[], object], send: Callable[[list[T]], None], alone: Callable[[T], bool]) -> None:
        self._open = open
        self._send = send
        self._alone = alone
        self._changed = threading.Condition()
        self._pending: list[T] = []
        self._refused: list[T] = []
        self._opened = self._ended = False
        self._last: Callable[[], object] | None = None
        self.failed: BaseException | None = None
        self.error: BaseException | None = None
        threading.Thread(target=self._work, name="tesseract-outbox", daemon=True).start()

    def wait_open(self, timeout: float) -> bool:
        """Whether `open` has ended within `timeout` seconds; see `failed` for how."""
        with self._changed:
            return self._changed.wait_for(lambda: self._opened, timeout)

    def put(self, item: T) -> None:
        """Hand over an item; never waits for the receiver."""
        with self._changed:
            (self._pending if self.failed is None else self._refused).append(item)
            self._changed.notify_all()

    def wait_sent(self, item: T, timeout: float) -> bool:
        """Whether an item has been accepted within `timeout` seconds; false at once if it is refused."""
        with self._changed:
            self._changed.wait_for(lambda: not _has(self._pending, item), timeout)
            return not _has(self._pending, item) and not _has(self._refused, item)

    def close(self, last: Callable[[], object], timeout: float) -> tuple[list[T], list[T]]:
        """Send what is left, then call `last`, and wait for that for up to `timeout` seconds.

        Returns:
            The items that were refused, and those that the receiver has not answered for. The thread goes on with the
            latter, as long as this process lives.
        """
        with self._changed:
            self._last = last
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ended, timeout)
            return list(self._refused), list(self._pending)

    @property
    def ended(self) -> bool:
        """Whether all is done, `last` included."""
        return self._ended

    def _work(self) -> None:
        try:
            self._open()
        except BaseException as error:
            self.failed = self.error = error
        with self._changed:
            self._opened = True
            if self.failed is not None:
                self._refused, self._pending = self._refused + self._pending, []
            self._changed.notify_all()
        while batch := self._next_batch():
            refused = self._deliver(batch)
            with self._changed:
                self._refused += refused
                del self._pending[: len(batch)]
                self._changed.notify_all()
        if self.failed is None and self._last is not None:
            self._last()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _next_batch(self) -> list[T]:
        """Wait for something to send; empty when there is nothing more to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._last is not None)
            batch = self._pending[:1]
            if batch and not self._alone(batch[0]):
                for item in self._pending[1:_LARGEST_BATCH]:
                    if self._alone(item):
                        break
                    batch.append(item)
            return batch

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
        except Exception as error:
            self.error = error
            return batch
        return []


def _has(items: list[T], wanted: T) -> bool:
    return any(item is wanted for item in items)
