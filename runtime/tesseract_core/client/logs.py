"""Live logs of a run: its log file is followed while the request is under way."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tesseract_core.lines import Lines
from tesseract_core.untrusted import Unfit, open_regular
from tesseract_core.visible import visible, visible_lines

LogSink = Callable[[str], None]

MOST_BYTES = 1 << 30
"""Of a run's log; what a container writes may have no end."""
_AT_ONCE = 1 << 20
_FIRST_DELAY, _LAST_DELAY = 0.001, 0.1  # seconds between looks at the file


def sink_for(stream_logs: bool | LogSink) -> LogSink | None:
    """`True` means lines on stderr, a callable gets each line (without newline), `False` nothing.

    Raises: ValueError for anything else.
    """
    if callable(stream_logs):
        return stream_logs
    if stream_logs is True:
        return lambda line: print(visible_lines(line), file=sys.stderr, flush=True)
    if stream_logs is False:
        return None
    raise ValueError(f"stream_logs must be True, False or a callable, got {stream_logs!r}")


class LineSplitter:
    """Turns chunks of bytes into calls of a sink, one per line. See `tesseract_core.lines`.

    Args:
        sink: Called per line, without the newline.
    """

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink
        self._lines = Lines()

    def feed(self, chunk: bytes) -> None:
        """Take what has come; an empty chunk lets a progress bar that pauses be shown."""
        for line in self._lines.feed(chunk):
            self._sink(line)

    def end(self) -> None:
        """Hand over what came after the last newline."""
        for line in self._lines.end():
            self._sink(line)


class LogTail:
    """Context manager that hands each line of a growing file to a sink, from its own thread, and all on exit.

    Args:
        path: Log file; it may not exist yet. What it holds already belongs to an earlier run and is not told again.
        sink: Called per line, without the newline.
        root: Directory that the server writes to; below it no link is followed. By default that of the file.
    """

    def __init__(self, path: Path, sink: LogSink, root: Path | None = None) -> None:
        self._path = path
        self._root = root or path.parent
        self._problem = ""
        self._lines = LineSplitter(sink)
        self._stale = _state_of(path)
        self._position = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tesseract-log-tail", daemon=True)

    def __enter__(self) -> LogTail:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        if self._problem:
            warnings.warn(visible(f"The log {self._path} {self._problem}."), stacklevel=3)

    def _follow(self) -> None:
        delay = _FIRST_DELAY
        while not self._ended.wait(delay):
            if self._read():
                delay = _FIRST_DELAY
            else:
                delay = min(2 * delay, _LAST_DELAY)
                self._lines.feed(b"")
        while self._read():
            pass
        self._lines.end()

    def _read(self) -> bool:
        state = _state_of(self._path)
        if state is None or state == self._stale or self._problem:
            return False
        self._stale = None
        try:
            with open_regular(self._root, self._path.relative_to(self._root).as_posix()) as file:
                if os.fstat(file.fileno()).st_size < self._position:  # begun anew
                    self._position = 0
                file.seek(self._position)
                new = file.read(_AT_ONCE)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as problem:
            self._problem = f"is not shown: {'it is ' if isinstance(problem, Unfit) else ''}{problem.strerror}"
            return False
        self._position += len(new)
        if self._position >= MOST_BYTES:
            self._problem = f"is shown up to its first {self._position:,} bytes only"
        self._lines.feed(new)
        return bool(new)


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
