"""The directory of a run: made when it is first needed, kept by one run at a time, removed when there are too many."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self


class RunDirectory:
    """A run's directory with its `logs/`, which need not exist.

    Args:
        path: The directory.
        locked: Hold it for this run alone from its creation to the end of the `with` block, against all processes of
            this machine. On file systems without `flock` (some network ones) nothing is locked.
    """

    def __init__(self, path: Path, *, locked: bool = False) -> None:
        self.path = path
        self.exists = False
        self._locked = locked
        self._lock_fd: int | None = None
        self._prepare: list[Callable[[Path], None]] = []
        # The run's own thread and the one that writes its log may both be the first to need it.
        self._creating = threading.RLock()

    def on_create(self, prepare: Callable[[Path], None]) -> None:
        """Call `prepare(logs)` when the directory is made, or now if it has been."""
        self._prepare.append(prepare)
        if self.exists:
            prepare(self.path / "logs")

    def create(self) -> Path:
        """Make the directory with an empty log, once; return its `logs/`.

        Raises:
            OSError: The directory cannot be made or written.
        """
        logs = self.path / "logs"
        with self._creating:
            if self.exists:
                return logs
            self.path.mkdir(parents=True, exist_ok=True)
            if self._locked and self._lock_fd is None:
                self._lock_fd = _lock(self.path)
            logs.mkdir(exist_ok=True)
            (logs / "tesseract.log").write_bytes(b"")
            for prepare in self._prepare:
                prepare(logs)
            self.exists = True
        return logs

    def log_path(self) -> Path:
        """Where the run's output goes; the directory exists afterwards."""
        return self.create() / "tesseract.log"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        if self._lock_fd is not None:
            _unlock(self._lock_fd)


def _lock(path: Path, *, wait: bool = True) -> int:
    """Lock a directory until the returned descriptor is closed.

    Raises:
        BlockingIOError: Somebody else holds it, and `wait` is false.
    """
    import fcntl

    while True:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            raise
        except OSError:  # a file system without locks
            return fd
        try:
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except FileNotFoundError:
            pass
        # It was removed to make room while we waited.
        os.close(fd)
        path.mkdir(parents=True, exist_ok=True)


def _unlock(fd: int) -> None:
    import fcntl

    try:
        # Closing is not enough while a forked child of user code has the descriptor too.
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError:
        pass
    os.close(fd)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a run's directory within the block.

    Raises:
        BlockingIOError: A run holds it.
        FileNotFoundError: There is none.
    """
    fd = _lock(path, wait=False)
    try:
        yield
    finally:
        _unlock(fd)


def prune_runs(output_path: Path, keep: int) -> None:
    """Remove the oldest run directories below `output_path` beyond the `keep` newest; those in use stay."""
    runs = sorted(output_path.glob("run_*/"), key=_last_change, reverse=True)
    for path in runs[keep:]:
        try:
            fd = _lock(path, wait=False)
        except OSError:
            continue
        shutil.rmtree(path, ignore_errors=True)
        _unlock(fd)


def _last_change(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
