"""A compute process that died: told to its client, in the run's record and in the server's log."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from tesseract_core.endings import describe_status
from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.paths import confine
from tesseract_core.runtime.serve.board import Board


class Deaths:
    """In the main process: tells how compute processes died."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._oom_kills = _oom_kills()

    def report(self, worker: int, pid: int, status: int) -> None:
        """Tell everybody concerned that a compute process ended with a wait status while it was needed."""
        run = self._board.take(worker)
        how = (run.trouble if run else "") or self.describe(status)
        where = ""
        if run is not None:
            self._board.tell(worker, run.run_id, how)
            where = f" in run {run.run_id} of {run.endpoint}"
        print(f"The compute process (pid {pid}) died{where}: {how}", file=sys.stderr, flush=True)
        if run is not None:
            from tesseract_core.runtime.mpa.record import record_death

            directory = confine(f"run_{run.run_id}", get_config().output_path, what="run id")
            record_death(directory, run.endpoint, run.started, how)

    def describe(self, status: int) -> str:
        """Say how a process ended, given its wait status."""
        code = os.waitstatus_to_exitcode(status)
        before, self._oom_kills = self._oom_kills, _oom_kills()
        out_of_memory = None if before is None or self._oom_kills is None else self._oom_kills > before
        return describe_status(
            code if code >= 0 else 128 - code, out_of_memory=out_of_memory, shm_size=_size_of("/dev/shm")
        )


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
