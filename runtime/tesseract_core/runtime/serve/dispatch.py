"""The HTTP side of the queue: hand one request to some idle compute process and await its reply."""

from __future__ import annotations

import asyncio
import errno
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tesseract_core.runtime.serve.board import Board
from tesseract_core.runtime.serve.queue import Message

# Too many descriptors are open or on their way. Nothing tells when that is over, so the sender tries again.
_OUT_OF_DESCRIPTORS = frozenset({errno.ETOOMANYREFS, errno.EMFILE, errno.ENFILE})
_RETRY_S = 0.01
_OBITUARY_S = 2.0


class QueueFull(Exception):
    """As many requests as may wait are waiting."""


class ComputeDied(Exception):
    """The process that computed this request is gone."""


def _ignore() -> None:
    pass


class Dispatcher(ABC):
    """Runs requests somewhere; at most `max_pending` at a time, those that wait for their turn included.

    One object serves one event loop.
    """

    def __init__(self, max_pending: int) -> None:
        self._max_pending = max_pending
        self._pending = 0

    @abstractmethod
    def submit(self, request: Message, taken: Callable[[], None]) -> asyncio.Future[Message]:
        """Start `request`. The future gets the reply, or `ComputeDied`; cancelling it withdraws the request.

        `taken` may be called when a large request does not wait any more.
        """

    async def how_it_died(self, run_id: str) -> str | None:
        """After a `ComputeDied`: how the process that computed this run ended, None if nobody knows."""
        return None

    async def dispatch(
        self, request: Message, client_left: Callable[[], Awaitable[None]], taken: Callable[[], None] = _ignore
    ) -> Message | None:
        """Return the reply to `request`, or None if `client_left()` returned first. Closes `request`.

        `taken` may be called when a large request does not wait any more. Raises `QueueFull` or `ComputeDied`.
        """
        if self._pending >= self._max_pending:
            request.close()
            raise QueueFull
        self._pending += 1
        watch = asyncio.ensure_future(client_left())
        try:
            reply = self.submit(request, taken)
            watch.add_done_callback(lambda _: reply.cancel())
            return await reply
        except asyncio.CancelledError:
            if watch.done() and not watch.cancelled():
                return None
            raise
        finally:
            self._pending -= 1
            watch.cancel()
            request.close()


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: Message
    reply: asyncio.Future[Message]
    taken: Callable[[], None]


class QueueDispatcher(Dispatcher):
    """Dispatches over the kernel queue whose sending end is `sender`.

    The kernel holds the requests while they fit into the socket's buffer, the rest waits here, in order.
    """

    def __init__(self, sender: socket.socket, max_pending: int, board: Board | None = None) -> None:
        super().__init__(max_pending)
        self._sender = sender
        self._board = board
        self._overflow: deque[_Waiting] = deque()

    async def how_it_died(self, run_id: str) -> str | None:
        """As above. The main process hears of a death a moment after the end of the socket."""
        deadline = asyncio.get_running_loop().time() + _OBITUARY_S
        while self._board is not None and asyncio.get_running_loop().time() < deadline:
            if (how := self._board.told(run_id)) is not None:
                return how
            await asyncio.sleep(_RETRY_S)
        return None

    def submit(self, request: Message, taken: Callable[[], None]) -> asyncio.Future[Message]:
        waiting = _Waiting(request, asyncio.get_running_loop().create_future(), taken)
        self._overflow.append(waiting)
        if len(self._overflow) == 1:
            self._pump()
        return waiting.reply

    def _pump(self) -> None:
        """Move requests into the kernel's queue until it is full."""
        loop = asyncio.get_running_loop()
        while self._overflow:
            waiting = self._overflow[0]
            if not waiting.reply.done():
                try:
                    self._send(waiting)
                except BlockingIOError:
                    loop.add_writer(self._sender, self._resume)
                    return
                except OSError as error:
                    if error.errno in _OUT_OF_DESCRIPTORS:
                        loop.call_later(_RETRY_S, self._pump)
                        return
                    waiting.reply.set_exception(error)
            self._overflow.popleft()

    def _resume(self) -> None:
        asyncio.get_running_loop().remove_writer(self._sender)
        self._pump()

    def _send(self, waiting: _Waiting) -> None:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            waiting.request.send(self._sender, theirs.fileno())
        except OSError:
            mine.close()
            raise
        finally:
            theirs.close()
        waiting.request.close()
        loop = asyncio.get_running_loop()
        fd = mine.fileno()
        loop.add_reader(fd, self._receive, mine, waiting)

        def close(_: object) -> None:
            # Also how a request is withdrawn: whoever takes it from the queue sees that nobody waits.
            loop.remove_reader(fd)
            mine.close()

        waiting.reply.add_done_callback(close)

    @staticmethod
    def _receive(mine: socket.socket, waiting: _Waiting) -> None:
        reply = waiting.reply
        if reply.done():
            return
        try:
            received = Message.receive(mine)
        except OSError as error:
            reply.set_exception(error)
            return
        if received is None:
            reply.set_exception(ComputeDied())
        elif not received[0].size:
            waiting.taken()
        else:
            reply.set_result(received[0])
