"""The queue between HTTP workers and compute processes: one kernel FIFO, one message per request.

The FIFO is an `AF_UNIX`/`SOCK_SEQPACKET` socketpair made before the processes are forked. All HTTP workers send on one
end, all compute processes receive on the other, and the kernel hands each message to exactly one idle receiver: no
locks, no flags, and nothing stale when a process is killed. A message is a head and a body; small ones travel inside
the packet, large ones in a memfd. Beside it travels one end of a fresh socketpair, over which the reply comes back.
For a large message, an empty one comes first: it has been taken.
That end exists only in the message and then in the process that took it, so its end-of-file says that this process
died, and the end-of-file of the other end says that nobody waits for the reply any more.
"""

from __future__ import annotations

import array
import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from typing import Self

# Up to this size copying through the socket is cheaper than a memfd; far below the socket's send buffer.
INLINE_LIMIT = 16 * 1024
_CHUNK_SIZE = 1024 * 1024
# One read or write call moves less than 2 GiB on Linux.
_MAX_READ = 1 << 30

# Length of the head, length of head and body.
_PREFIX = struct.Struct("=IQ")
_MAX_FDS = 2


class Message:
    """A head and a body, written in pieces: in memory while small, in a memfd from `INLINE_LIMIT` on."""

    def __init__(self, head: bytes) -> None:
        self._fd: int | None = None
        self._inline = bytearray()
        self._head_size = len(head)
        self.size = 0
        self.write(head)

    def write(self, chunk: bytes | memoryview) -> None:
        """Append to the body. The chunk is not kept."""
        self.size += len(chunk)
        if self._fd is None:
            if self.size <= INLINE_LIMIT:
                self._inline += chunk
                return
            self._fd = os.memfd_create("tesseract-message")
            _write_all(self._fd, self._inline)
            self._inline = bytearray()
        _write_all(self._fd, chunk)

    @property
    def large(self) -> bool:
        """Tell whether it is in a memfd."""
        return self._fd is not None

    @property
    def body_size(self) -> int:
        return self.size - self._head_size

    def head(self) -> bytes:
        return self._read(0, self._head_size)

    def body(self) -> bytes:
        """Return the whole body as one object."""
        return self._read(self._head_size, self.body_size)

    def body_chunks(self) -> Iterator[bytes]:
        """Yield the body in pieces of at most 1 MiB; an empty one is one empty piece."""
        for offset in range(self._head_size, max(self.size, self._head_size + 1), _CHUNK_SIZE):
            yield self._read(offset, min(_CHUNK_SIZE, self.size - offset))

    def send(self, sock: socket.socket, *fds: int) -> None:
        """Send as one packet, with `fds` beside it; the memfd, if any, goes last.

        Raises `BlockingIOError` if `sock` is non-blocking and full, and `OSError` with `ETOOMANYREFS` if too many
        descriptors are on their way.
        """
        packet: list[bytes | bytearray] = [_PREFIX.pack(self._head_size, self.size), self._inline]
        if self._fd is not None:
            fds = (*fds, self._fd)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sock.sendmsg(packet, ancillary)

    @classmethod
    def receive(cls, sock: socket.socket) -> tuple[Self, list[int]] | None:
        """Return the next message and the descriptors that came with it, or None at the end of the stream."""
        # `socket.recv_fds` of Python 3.11 drops its flags, so descriptors would leak into user code's child processes.
        packet, ancillary, _, _ = sock.recvmsg(
            _PREFIX.size + INLINE_LIMIT, socket.CMSG_SPACE(4 * _MAX_FDS), socket.MSG_CMSG_CLOEXEC
        )
        if not packet:
            return None
        received = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received.frombytes(data)
        fds = list(received)
        message = cls(b"")
        message._head_size, message.size = _PREFIX.unpack_from(packet)
        message._inline += memoryview(packet)[_PREFIX.size :]
        if len(message._inline) < message.size:
            if len(fds) < 1:
                raise OSError(errno.EMFILE, "Too many open files")
            message._fd = fds.pop()
        return message, fds

    def close(self) -> None:
        """Free the memfd, if there is one."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __del__(self) -> None:
        self.close()

    def _read(self, offset: int, size: int) -> bytes:
        if self._fd is None:
            return bytes(memoryview(self._inline)[offset : offset + size])
        if size <= _MAX_READ:
            return os.pread(self._fd, size, offset)
        parts = [os.pread(self._fd, min(_MAX_READ, size - done), offset + done) for done in range(0, size, _MAX_READ)]
        return b"".join(parts)


def _write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def make_queue() -> tuple[socket.socket, socket.socket]:
    """Return the sending end (non-blocking) and the receiving end (blocking) of a new queue."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sender.setblocking(False)
    return sender, receiver


class Job:
    """A request that a compute process took from the queue, with the way back to the one who waits for it."""

    def __init__(self, request: Message, reply_to: socket.socket) -> None:
        self.request = request
        self._reply_to = reply_to

    @classmethod
    def take(cls, receiver: socket.socket) -> Job | None:
        """Wait for the next request; None when no HTTP worker is left."""
        received = Message.receive(receiver)
        if received is None:
            return None
        request, fds = received
        if not fds:
            raise OSError(errno.EMFILE, "Too many open files")  # the kernel closed what did not fit
        job = cls(request, socket.socket(fileno=fds[0]))
        if request.large:
            job.reply(Message(b""))  # it waits no more; a real reply has a head
        return job

    def withdrawn(self) -> bool:
        """Tell whether nobody waits for the reply any more."""
        poll = select.poll()
        poll.register(self._reply_to, 0)
        return bool(poll.poll(0))

    def reply(self, message: Message) -> None:
        """Send the reply; a client that has left meanwhile is no error."""
        try:
            message.send(self._reply_to)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def close(self) -> None:
        self.request.close()
        self._reply_to.close()
