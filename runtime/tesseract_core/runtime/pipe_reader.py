"""The thread that reads the pipes of all captures of output in this process."""

from __future__ import annotations

import mmap
import os
import selectors
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tesseract_core.overwriting import PAUSE_S

_READ_SIZE = 1 << 16
_MOST_LEFT = 16  # reads of 64 KiB: a pipe holds no more, but a child that goes on may fill it again and again

Pump = Callable[[], bool]
"""Reads what there is, and returns whether it wants to be called again after a while, even if nothing comes."""


class PipeReader:
    """One thread that reads pipes: starting one for each run would cost more than the run."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._waiting: dict[int, Pump] = {}
        self._thread = threading.Thread(target=self._run, name="tesseract-stdio", daemon=True)
        self._thread.start()

    def works(self) -> bool:
        """Whether it still reads; user code may have closed its descriptors."""
        return self._thread.is_alive()

    def add(self, fd: int, pump: Pump) -> None:
        self._selector.register(fd, selectors.EVENT_READ, pump)

    def remove(self, fd: int) -> None:
        self._waiting.pop(fd, None)
        with suppress(KeyError):
            self._selector.unregister(fd)

    def _run(self) -> None:
        while True:
            ready = {key.fd: key.data for key, _ in self._selector.select(PAUSE_S / 2 if self._waiting else None)}
            for fd, pump in {**self._waiting, **ready}.items():
                if pump():
                    self._waiting[fd] = pump
                else:
                    self._waiting.pop(fd, None)


_the_reader: PipeReader | None = None


def the_reader() -> PipeReader:
    """The reader of this process."""
    global _the_reader
    if _the_reader is None or not _the_reader.works():
        _the_reader = PipeReader()
    return _the_reader


class SharedPipe:
    """A pipe for what a child process prints, of which the parent can read what a crash of the child leaves.

    That is what stands in the pipe, and what the child has taken out of it without passing it on: the kernel puts it
    into memory that both share, and the child clears that memory when it is done.
    """

    def __init__(self) -> None:
        self.fd, write_fd = os.pipe()
        os.close(write_fd)
        self.in_hand = mmap.mmap(-1, _READ_SIZE)

    def lend(self) -> None:
        """In the child: let captures use it."""
        _Lent.pipe, _Lent.inode, _Lent.free = self, os.fstat(self.fd).st_ino, True

    def rest(self) -> bytes:
        """In the parent, when the child is dead: close the pipe, and return what was never passed on."""
        os.set_blocking(self.fd, False)
        left = [self.in_hand[:].rstrip(b"\0")]
        with suppress(BlockingIOError):
            while len(left) < _MOST_LEFT and (data := os.read(self.fd, _READ_SIZE)):
                left.append(data)
        os.close(self.fd)
        return b"".join(left)


class _Lent:
    """The pipe that was lent to this process, and whether no capture uses it."""

    pipe: SharedPipe | None = None
    inode = 0
    free = False


def open_pipe() -> tuple[int, int]:
    """Return the reading and the writing end of an empty pipe; `close_pipe` is for the former.

    One capture at a time gets the pipe that was lent, if nobody else (a child that goes on) can write to it any more.
    """
    if _Lent.free and _Lent.pipe is not None:
        _Lent.free, fd = False, _Lent.pipe.fd
        if os.fstat(fd).st_ino == _Lent.inode:  # else user code closed it, and opened something else
            return fd, os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_CLOEXEC)
    return os.pipe()


@contextmanager
def read_pipe(fd: int) -> Iterator[bytes]:
    """What the pipe holds, up to 64 KiB, to be passed on within the block. Raises: BlockingIOError if it is empty."""
    if _Lent.pipe is None or fd != _Lent.pipe.fd:
        yield os.read(fd, _READ_SIZE)
        return
    shared = _Lent.pipe.in_hand
    count = os.readv(fd, [shared])
    yield shared[:count]
    shared[:count] = bytes(count)


def close_pipe(fd: int) -> None:
    """Close the reading end of a pipe that nobody can write to any more."""
    if _Lent.pipe is not None and fd == _Lent.pipe.fd:
        _Lent.free = True
    else:
        os.close(fd)


def _forget() -> None:
    global _the_reader
    _the_reader = None  # its thread did not survive the fork
    _Lent.pipe, _Lent.free = None, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
