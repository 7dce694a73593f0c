"""A compute process that died: told to its client, in the run's record and in the server's log."""

from __future__ import annotations

import sys

from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.ended import Endings
from tesseract_core.runtime.paths import confine
from tesseract_core.runtime.pipe_reader import SharedPipe
from tesseract_core.runtime.serve.board import Board


class Deaths:
    """In the main process: tells how compute processes died, and what they had printed last."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._endings = Endings()
        self._pipes: dict[int, SharedPipe] = {}

    def pipe(self, worker: int) -> SharedPipe:
        """Return the pipe for what a new compute process prints: we can still read it when that is dead."""
        if worker not in self._pipes:
            self._pipes[worker] = SharedPipe()
        return self._pipes[worker]

    def describe(self, status: int) -> str:
        """Say how a process ended, given its wait status."""
        return self._endings.describe(status)

    def report(self, worker: int, pid: int, status: int) -> None:
        """Tell everybody concerned that a compute process ended with a wait status while it was needed."""
        run = self._board.take(worker)
        how = (run.trouble if run else "") or self.describe(status)
        where = ""
        if run is not None:
            self._board.tell(worker, run.run_id, how)
            where = f" in run {run.run_id} of {run.endpoint}"
        last_words = self._pipes.pop(worker).rest()
        prefix = f"[run {run.run_id}] " if run else ""
        for line in last_words.decode(errors="replace").splitlines():
            print(f"{prefix}{line}", file=sys.stderr)
        print(f"The compute process (pid {pid}) died{where}: {how}", file=sys.stderr, flush=True)
        if run is not None:
            from tesseract_core.runtime.mpa.record import record_death

            directory = confine(f"run_{run.run_id}", get_config().output_path, what="run id")
            record_death(directory, run.endpoint, run.started, how, last_words, make=True)
