"""A small process that outlives the main one by a moment: it ends what user code has started, however main ended.

The kernel kills main's children when main dies (see `processes`), but not the children of these. So the watcher holds
the reading end of a pipe whose other end only main has, and kills the process groups that main told it of when that
pipe ends.
"""

from __future__ import annotations

import os
import signal
import struct
from contextlib import suppress

from tesseract_core.runtime.serve.processes import (
    SHUTDOWN_SIGNALS,
    end_group,
    fork,
    give_to_children,
    keep_from_children,
)

_PID = struct.Struct("=q")


class Watcher:
    """Main's handle on the watcher."""

    def __init__(self) -> None:
        self._pid = 0
        self._groups: set[int] = set()

    def start(self) -> None:
        """Fork the watcher. Children that are forked from now on leave its pipe to the caller."""
        read_fd, self._fd = os.pipe()
        self._pid = fork(lambda: _watch(read_fd, self._fd), own_session=True, outlives=True)
        os.close(read_fd)
        keep_from_children(self._fd)

    def renew(self) -> None:
        """Start another one if it has died: somebody may kill it, or memory may run out."""
        if not self._pid or not os.waitpid(self._pid, os.WNOHANG)[0]:
            return
        give_to_children(self._fd)
        os.close(self._fd)
        self.start()
        for group in self._groups:
            self._tell(group)

    def add(self, group: int) -> None:
        """Watch over a process group."""
        self._groups.add(group)
        self._tell(group)

    def remove(self, group: int) -> None:
        """Forget a group that has ended, because its number may be given to another."""
        self._groups.discard(group)
        self._tell(-group)

    def _tell(self, number: int) -> None:
        with suppress(BrokenPipeError):
            os.write(self._fd, _PID.pack(number))

    def end(self) -> None:
        """End the watcher, if it was started, and what is left of the groups."""
        if self._pid:
            os.close(self._fd)
            os.waitpid(self._pid, 0)


def _watch(read_fd: int, write_fd: int) -> int:
    for number in SHUTDOWN_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # Nothing of what else is open here may be kept from ending: queues, pipes, terminals.
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, read_fd)
    os.closerange(read_fd + 1, max(write_fd, null) + 4096)
    groups: set[int] = set()
    while message := os.read(read_fd, _PID.size):
        (number,) = _PID.unpack(message)
        groups.add(number) if number > 0 else groups.discard(-number)
    for group in groups:
        end_group(group)
    os._exit(0)
