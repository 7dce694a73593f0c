"""Live logs of a run: its log file is followed while the request is under way."""

from __future__ import annotations

import codecs
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tesseract_core.visible import visible_lines

LogSink = Callable[[str], None]

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
    """Turns chunks of bytes into calls of a sink, one per line of text.

    Args:
        sink: Called per line, without the newline.
    """

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + self._decoder.decode(chunk)).split("\n")
        for line in lines:
            self._sink(line)

    def end(self) -> None:
        """Hand over what came after the last newline."""
        if self._rest:
            self._sink(self._rest)
        self._rest = ""


class LogTail:
    """Context manager that hands each line of a growing file to a sink, from its own thread, and all on exit.

    Args:
        path: Log file; it may not exist yet. What it holds already belongs to an earlier run and is not told again.
        sink: Called per line, without the newline.
    """

    def __init__(self, path: Path, sink: LogSink) -> None:
        self._path = path
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

    def _follow(self) -> None:
        delay = _FIRST_DELAY
        while not self._ended.wait(delay):
            delay = _FIRST_DELAY if self._read() else min(2 * delay, _LAST_DELAY)
        self._read()
        self._lines.end()

    def _read(self) -> bool:
        state = _state_of(self._path)
        if state is None or state == self._stale:
            return False
        self._stale = None
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._position:  # begun anew
                    self._position = 0
                file.seek(self._position)
                new = file.read()
        except OSError:
            return False
        self._position += len(new)
        self._lines.feed(new)
        return bool(new)


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
