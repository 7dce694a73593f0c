"""Request bodies on their way in: how much of them the HTTP workers hold, and for how long.

A body counts from its first byte until a compute process takes it from the queue. All HTTP workers share one budget,
which is the limit of a single body: so one always fits, and the server's memory is bounded whatever clients send.
"""

from __future__ import annotations

import asyncio
import mmap
import time
from enum import Enum

from tesseract_core.runtime.serve.asgi import Event, Receive, Scope, header
from tesseract_core.runtime.serve.queue import INLINE_LIMIT, Message

# Less than this within the time limit is no progress.
MIN_PROGRESS = 1024


class BodyTooLarge(Exception):
    """The request's body exceeds the limit."""


class NoRoom(Exception):
    """The bodies of other requests leave no room for this one."""


class ClientLeft(Exception):
    """The client closed the connection, or sent something else, before its body was complete."""


class GivenUp(Exception):
    """We do not wait for the rest of the body; `why` says why."""

    def __init__(self, why: Why) -> None:
        self.why = why


class Why(Enum):
    """Why an unfinished body is given up."""

    STALLED = "no progress"
    CROWDED = "room for other connections"
    STOPPING = "the server stops"


class Budget:
    """Bytes that the bodies of all HTTP workers may take together.

    Each worker has a number in shared memory that only it writes, so there is no lock that a killed worker could hold,
    and what it held is free as soon as another one enters in its place.
    """

    def __init__(self, limit: int, workers: int = 1) -> None:
        self.limit = limit
        self._held = memoryview(mmap.mmap(-1, 8 * workers)).cast("Q")
        self._mine = 0

    def enter(self, worker: int) -> None:
        """Account for what this process holds as worker number `worker`, from 0 on."""
        self._mine = worker
        self._held[worker] = 0

    def take(self, size: int) -> bool:
        """Take `size` bytes if they are left."""
        self._held[self._mine] += size
        # Two workers that ask for the last bytes at once may both get nothing, but never more than there is.
        if sum(self._held) > self.limit:
            self._held[self._mine] -= size
            return False
        return True

    def give_back(self, size: int) -> None:
        self._held[self._mine] -= size


class Upload:
    """One body: where it goes, and what it takes of the budget until `release`."""

    def __init__(self, request: Message, budget: Budget) -> None:
        self.request = request
        self.started = time.monotonic()
        self.progress = 0  # since `started`
        self.given_up: Why | None = None
        self.task = asyncio.current_task()
        self._budget = budget
        self._limit = budget.limit + request.size  # with the head
        self._taken = 0

    def append(self, event: Event) -> bool:
        """Take in what the client sent; tells whether there is more. Raises `BodyTooLarge`, `NoRoom`, `ClientLeft`."""
        if event["type"] == "http.disconnect":
            raise ClientLeft
        chunk, more = event.get("body", b""), bool(event.get("more_body"))
        size = self.request.size + len(chunk)
        if size > self._limit:
            raise BodyTooLarge
        # Small ones that are complete are bounded by the length of the queue.
        if more or size > INLINE_LIMIT:
            self._take(len(chunk))
        self.request.write(chunk)
        return more

    def _take(self, size: int) -> None:
        if not self._budget.take(size):
            raise NoRoom
        self._taken += size
        self.progress += size

    def release(self) -> None:
        """Give back what it takes of the budget; more than once does no harm."""
        if self._taken:
            self._budget.give_back(self._taken)
            self._taken = 0

    def give_up(self, why: Why) -> None:
        """End the wait for the next piece."""
        self.given_up = why
        if self.task is not None:
            self.task.cancel()


class Bodies:
    """Reads the bodies of one HTTP worker. `min_speed_s`: how long less than 1 KiB may take to arrive."""

    def __init__(self, budget: Budget, min_speed_s: float) -> None:
        self.budget = budget
        self.min_speed_s = min_speed_s
        self._unfinished: set[Upload] = set()
        self._stopping = False

    async def read(self, scope: Scope, receive: Receive, request: Message) -> Upload:
        """Append the body to `request` as it arrives.

        Raises `BodyTooLarge`, `NoRoom`, `ClientLeft` or `GivenUp`; then `request` is closed and nothing is held.
        """
        upload = Upload(request, self.budget)
        self._unfinished.add(upload)
        try:
            announced = header(scope, b"content-length")
            if announced.isdigit() and int(announced) > self.budget.limit:
                raise BodyTooLarge
            while upload.append(await receive()):
                if self._stopping:
                    raise GivenUp(Why.STOPPING)
            if not request.large:
                upload.release()
            return upload
        except BaseException as error:
            request.close()
            upload.release()
            if isinstance(error, asyncio.CancelledError) and upload.given_up:
                if upload.task is not None:
                    upload.task.uncancel()
                raise GivenUp(upload.given_up) from None
            raise
        finally:
            self._unfinished.discard(upload)

    def give_up_stalled(self) -> None:
        """End bodies that do not arrive. To be called about once a second."""
        now = time.monotonic()
        for upload in list(self._unfinished):
            if upload.progress >= MIN_PROGRESS:
                upload.started, upload.progress = now, 0
            elif now - upload.started > self.min_speed_s:
                upload.give_up(Why.STALLED)

    def give_up_slowest(self, count: int) -> None:
        """End so many bodies, those that arrive slowest."""
        now = time.monotonic()
        slowest = sorted(self._unfinished, key=lambda upload: upload.progress / (now - upload.started + 1))
        for upload in slowest[:count]:
            upload.give_up(Why.CROWDED)

    def stop(self) -> None:
        """End all that are not complete: there is no call behind them yet."""
        self._stopping = True
        for upload in list(self._unfinished):
            upload.give_up(Why.STOPPING)
