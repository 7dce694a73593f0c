"""The thread that reads the pipes of all captures of output in this process."""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable
from contextlib import suppress

from tesseract_core.overwriting import PAUSE_S

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


class _Lent:
    """The reading end of a pipe that another process can read, too, when this one is dead."""

    fd = -1
    inode = 0
    free = False


def lend(pipe: int) -> None:
    """Let captures of this process use a pipe that its parent can read, too. It has no writing end yet."""
    _Lent.fd, _Lent.inode, _Lent.free = pipe, os.fstat(pipe).st_ino, True


def open_pipe() -> tuple[int, int]:
    """Return the reading and the writing end of an empty pipe; `close_pipe` is for the former.

    One capture at a time gets the pipe that was lent, if nobody else (a child that goes on) can write to it any more.
    """
    if _Lent.free:
        _Lent.free = False
        if os.fstat(_Lent.fd).st_ino == _Lent.inode:  # else user code closed it, and opened something else
            return _Lent.fd, os.open(f"/proc/self/fd/{_Lent.fd}", os.O_WRONLY | os.O_CLOEXEC)
    return os.pipe()


def close_pipe(pipe: int) -> None:
    """Close the reading end of a pipe that nobody can write to any more."""
    if pipe == _Lent.fd:
        _Lent.free = True
    else:
        os.close(pipe)


def what_is_left(pipe: int) -> bytes:
    """Close the reading end of a pipe that was lent, and return what a dead process has left in it."""
    os.set_blocking(pipe, False)
    left: list[bytes] = []
    with suppress(BlockingIOError):
        while len(left) < _MOST_LEFT and (data := os.read(pipe, 1 << 16)):
            left.append(data)
    os.close(pipe)
    return b"".join(left)


def _forget() -> None:
    global _the_reader
    _the_reader = None  # its thread did not survive the fork
    _Lent.fd, _Lent.free = -1, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
