"""The open connections of one HTTP worker, as descriptors.

granian keeps connections to itself. It accepts up to a number of them and then no more, so a client that opens that
many and says nothing would shut everybody else out. This module finds those without a request and closes the oldest.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import socket
import stat
import struct
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tesseract_core.runtime.serve.address import Address
from tesseract_core.runtime.serve.asgi import ASGIApp, Event, Receive, Scope, Send

# More than fit into the memory of most machines.
_MAX_CONNECTIONS = 65536
# What the interpreter, granian, the log and the queue need.
_RESERVED_FILES = 64
# The fullness from which on connections are closed, and the one that is reached by it.
_CROWDED, _ROOMY = 0.75, 0.5
_INTERVAL_S, _CROWDED_INTERVAL_S = 1.0, 0.1
# The part of a worker's time that a crowd may cost.
_MAX_SHARE = 0.2
# A request may have arrived that the application does not know of yet.
_MIN_SILENCE_MS = 100
# While it is crowded, a client has this long to read on.
_CROWDED_UNREAD_S = 1.0
# `tcpi_last_data_sent` and `tcpi_last_data_recv` of the kernel's `struct tcp_info`: milliseconds.
_LAST_SENT_AND_RECEIVED = struct.Struct("=44xI4xI")


def raise_file_limit() -> int:
    """Allow as many open files as we may, and return how many connections that is: a request takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(_MAX_CONNECTIONS, max(4, (hard - _RESERVED_FILES) // 2))


class Connections:
    """Knows which connections have a request, and keeps some room for new ones.

    `unread_s`: how long a client may leave the rest of an answer unread.
    """

    def __init__(self, limit: int, address: Address, unread_s: float) -> None:
        self.limit = limit
        self._address = address
        self._unread_s = unread_s
        self._busy: Counter[str] = Counter()
        self._answered: set[str] = set()  # since the last look; their answers may still be on their way
        self._crowded = False

    @property
    def requests(self) -> int:
        """How many requests are not answered yet."""
        return self._busy.total()

    def track(self, app: ASGIApp) -> ASGIApp:
        """Return `app`, with its requests noted."""
        busy = self._busy

        async def layer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            # On a Unix socket clients have no address: all have the same.
            client = str(scope["client"][1])
            busy[client] += 1
            try:
                return await app(scope, receive, _last_answer(send) if self._crowded else send)
            finally:
                self._answered.add(client)
                busy[client] -= 1
                if not busy[client]:
                    del busy[client]

        return layer

    async def keep_room(self, often: Callable[[], None], still_crowded: Callable[[int], None]) -> None:
        """Close idle connections while there are too many, and those whose clients do not read, for ever.

        `often` is called at least about once a second. `still_crowded` is told how many others should end.
        """
        pause = _INTERVAL_S
        while True:
            await asyncio.sleep(pause)
            started = time.monotonic()
            often()
            self._crowded = (count := self._count()) > _CROWDED * self.limit
            if self._crowded:
                too_many = count - int(_ROOMY * self.limit)
                too_many -= self._close_idle(too_many)
                too_many -= self._close_unread(_CROWDED_UNREAD_S, too_many)
                if too_many > 0:
                    still_crowded(too_many)
            if self._busy:
                self._close_unread(self._unread_s, self.limit)
            self._answered.clear()
            spent = time.monotonic() - started
            pause = max(_CROWDED_INTERVAL_S if self._crowded else _INTERVAL_S, spent / _MAX_SHARE)

    def _count(self) -> int:
        """How many connections are open; 0 stands for few."""
        few = len(os.listdir("/proc/self/fd")) <= _CROWDED * self.limit
        return 0 if few else sum(1 for _ in self._open())

    def _close_idle(self, count: int) -> int:
        """Close up to `count` connections without a request, the longest silent first; returns how many."""
        if self._address.uds and self._busy:  # which of them have one, nobody can tell
            return 0
        idle = []
        for connection in self._open():
            client = "0" if self._address.uds else str(connection.getpeername()[1])
            silence = _silence(connection)
            if client not in self._busy and client not in self._answered and silence >= _MIN_SILENCE_MS:
                idle.append((silence, connection.fileno()))
        idle.sort(reverse=True)
        for _, fd in idle[:count]:
            with suppress(OSError), _borrowed(fd) as connection:
                connection.shutdown(socket.SHUT_RDWR)  # granian sees its end, and closes it
        return min(count, len(idle))

    def _close_unread(self, seconds: float, count: int) -> int:
        """Close up to `count` connections whose clients have read nothing for so long, though an answer waits.

        Returns how many. Not on a Unix socket: there it cannot be told, but only the user himself can open one.
        """
        closed = 0
        for connection in self._open() if not self._address.uds else ():
            if closed >= count:
                break
            if _unsent(connection) and _sent_and_received(connection)[0] >= seconds * 1000:
                connection.shutdown(socket.SHUT_RDWR)
                closed += 1
        return closed

    def all_sent(self) -> bool:
        """Tell whether the kernel has nothing left to send on any connection."""
        return not any(_unsent(connection) for connection in self._open())

    def _open(self) -> Iterator[socket.socket]:
        """Yield the connections that this server accepted, each for as long as it is looked at."""
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                    with _borrowed(int(name)) as connection:
                        if self._is_ours(connection):
                            yield connection

    def _is_ours(self, connection: socket.socket) -> bool:
        connection.getpeername()  # raises for one that listens
        if self._address.uds:
            return connection.getsockname() == str(self._address.uds)
        return connection.family != socket.AF_UNIX and connection.getsockname()[1] == self._address.port


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """A socket object for somebody else's descriptor, which stays open."""
    borrowed = socket.socket(fileno=fd)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _last_answer(send: Send) -> Send:
    """Return `send`, with the connection closed after the answer."""

    async def closing(event: Event) -> None:
        if event["type"] == "http.response.start":
            headers = [header for header in event["headers"] if header[0] != b"connection"]
            event = {**event, "headers": [*headers, (b"connection", b"close")]}
        await send(event)

    return closing


def _silence(connection: socket.socket) -> int:
    """For how long nothing was sent either way, in milliseconds; on a Unix socket a number that orders them by age."""
    if connection.family == socket.AF_UNIX:
        return (1 << 64) - os.fstat(connection.fileno()).st_ino
    return min(_sent_and_received(connection))


def _sent_and_received(connection: socket.socket) -> tuple[int, int]:
    """How long ago something was sent and received on a TCP connection, in milliseconds."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_SENT_AND_RECEIVED.size)
    sent, received = _LAST_SENT_AND_RECEIVED.unpack(info)
    return sent, received


def _unsent(connection: socket.socket) -> int:
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    return int(struct.unpack("=i", answer)[0])
