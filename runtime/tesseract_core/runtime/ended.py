"""How child processes of this one ended, with what this machine knows about it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tesseract_core.endings import describe_status


class Endings:
    """Words for the ends of children from now on."""

    def __init__(self) -> None:
        self._oom_kills = _oom_kills()

    def describe(self, status: int) -> str:
        """Say how a child ended, given its wait status."""
        before, self._oom_kills = self._oom_kills, _oom_kills()
        out_of_memory = None if before is None or self._oom_kills is None else self._oom_kills > before
        return describe_status(as_shells_count(status), out_of_memory=out_of_memory, shm_size=_size_of("/dev/shm"))


def as_shells_count(status: int) -> int:
    """Exit status of a child as shells count it, given its wait status: 128 + n for signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _oom_kills() -> int | None:
    """How many processes of our control group the kernel has killed for memory, None if it does not say."""
    with suppress(OSError, ValueError, IndexError):
        group = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].splitlines()[0]
        events = Path("/sys/fs/cgroup", group, "memory.events").read_text().split()
        return int(events[events.index("oom_kill") + 1])
    return None


def _size_of(file_system: str) -> int | None:
    with suppress(OSError):
        state = os.statvfs(file_system)
        return state.f_blocks * state.f_frsize
    return None
