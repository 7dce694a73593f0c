"""Memory that all processes of a server share: who computes what, and how it ended for those who died of it.

Each compute process has a place on it. It writes there which run it begins, which costs a copy of a few bytes; what it
wrote is still there when it is dead, for the main process to read. That writes how the process died beside it, and the
HTTP worker whose request it was reads that. A reader takes what is not complete yet as not there.
"""

from __future__ import annotations

import mmap
import struct
import time
from dataclasses import dataclass
from typing import Any

import orjson

_SIZE = struct.Struct("=I")
_PART = 1024  # a run id is a file name: at most 255 bytes
_PLACE = 2 * _PART


@dataclass(frozen=True, slots=True)
class Beginning:
    """A run that a compute process has begun.

    Attributes:
        run_id: The run's.
        endpoint: What is called.
        started: In seconds since the epoch.
        trouble: Why the process cannot go on, if it could still say so.
    """

    run_id: str
    endpoint: str
    started: float
    trouble: str = ""


class Board:
    """The board of a server with `num_workers` compute processes, shared with all processes forked later."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers
        self._memory = mmap.mmap(-1, num_workers * _PLACE)

    def begin(self, worker: int, run_id: str, endpoint: str) -> None:
        """In a compute process: it begins a run."""
        self._write(worker * _PLACE, orjson.dumps((run_id, endpoint, time.time())))

    def give_up(self, worker: int, trouble: str) -> None:
        """In a compute process: it cannot go on with its run."""
        begun = self._read(worker * _PLACE) or ("", "", time.time())
        self._write(worker * _PLACE, orjson.dumps((*begun, trouble[:300])))

    def end(self, worker: int) -> None:
        """In a compute process: its run has ended."""
        _SIZE.pack_into(self._memory, worker * _PLACE, 0)

    def take(self, worker: int) -> Beginning | None:
        """In the main process: the run that a dead compute process had begun, if any. The place is free then."""
        found = self._read(worker * _PLACE)
        self.end(worker)
        return Beginning(*found) if found and found[0] else None

    def tell(self, worker: int, run_id: str, how: str) -> None:
        """In the main process: the compute process that had begun `run_id` died, and how."""
        self._write(worker * _PLACE + _PART, orjson.dumps((run_id, how[:500])))

    def told(self, run_id: str) -> str | None:
        """In an HTTP worker: how the process died that had begun `run_id`, or None if that is not known (yet)."""
        for worker in range(self._num_workers):
            found = self._read(worker * _PLACE + _PART)
            if found and found[0] == run_id:
                return str(found[1])
        return None

    def _write(self, at: int, data: bytes) -> None:
        _SIZE.pack_into(self._memory, at, 0)
        data = data[: _PART - _SIZE.size]
        start = at + _SIZE.size
        self._memory[start : start + len(data)] = data
        _SIZE.pack_into(self._memory, at, len(data))

    def _read(self, at: int) -> Any:
        (size,) = _SIZE.unpack_from(self._memory, at)
        start = at + _SIZE.size
        try:
            return orjson.loads(self._memory[start : start + min(size, _PART)])
        except ValueError:
            return None
