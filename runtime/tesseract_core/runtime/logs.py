"""Capture of everything that a run prints, at the level of file descriptors.

Python's prints, C and Fortran libraries and child processes all end in the same pipe; a thread tees it to the run's log
and to where it can be watched live.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, cast

Consumer = Callable[[bytes], None]

_libc = ctypes.CDLL(None) if os.name == "posix" else None
# Descriptors 1 and 2 belong to the whole process: runs in several threads take turns. Re-entrant for nested runs.
_stdio_lock = threading.RLock()


def flush_all() -> None:
    """Flush Python's and C's buffers of stdout and stderr."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    if _libc is not None:
        _libc.fflush(None)


def write_all(fd: int, data: bytes) -> None:
    """Write `data` to `fd`; whoever does not read it any more does without."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        pass


class LineSplitter:
    """Passes complete lines on, without their newline; `close` passes on an unterminated last one.

    Args:
        sink: Called with a list of lines, never an empty one.
    """

    def __init__(self, sink: Callable[[list[bytes]], None]) -> None:
        self._sink = sink
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self._sink(lines)

    def close(self) -> None:
        if self._rest:
            self._sink([self._rest])
            self._rest = b""


class LogFile:
    """Appends to a file that is opened at the first byte. A full disk costs the log, not the run.

    Args:
        path: Called for the file's path when there is something to write.
    """

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path
        self._fd: int | None = None
        self.error: OSError | None = None

    def __call__(self, data: bytes) -> None:
        if self.error is not None:
            return
        view = memoryview(data)
        try:
            if self._fd is None:
                self._fd = os.open(self._path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self.error = error

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def capture_stdio(
    log: Consumer,
    live: Callable[[int], Consumer] | None = None,
    sink: Callable[[str], Any] | None = None,
) -> AbstractContextManager[Any]:
    """A `StdioCapture`, or nothing where stdout and stderr are no files of the system (notebooks, test runners)."""
    return StdioCapture(log, live, sink) if _stdio_descriptors() else nullcontext()


def _stdio_descriptors() -> tuple[int, ...]:
    try:
        named = {1, 2, sys.stdout.fileno(), sys.stderr.fileno()}
        for fd in named:
            os.fstat(fd)
    except (AttributeError, OSError, ValueError):
        return ()
    return tuple(named)


class StdioCapture:
    """Within the block, stdout and stderr of this process and of its children go to consumers of bytes.

    Args:
        log: Gets everything until the end of the block.
        live: Called with the descriptor of the real stderr; returns what gets the same, and goes on getting what
            children that outlive the block still write.
        sink: Gets each line, decoded. What it prints itself goes to the real stdout.
    """

    def __init__(
        self,
        log: Consumer,
        live: Callable[[int], Consumer] | None = None,
        sink: Callable[[str], Any] | None = None,
    ) -> None:
        self._log: Consumer | None = log
        self._make_live = live
        self._live: Consumer | None = None
        self._sink = sink
        self._lines = LineSplitter(self._call_sink) if sink else None
        self._pump_lock = threading.Lock()
        self._written = False
        self._sink_error: Exception | None = None

    def __enter__(self) -> Self:
        _stdio_lock.acquire()
        try:
            self._redirect()
        except BaseException:
            _stdio_lock.release()
            raise
        return self

    def _redirect(self) -> None:
        flush_all()
        stderr = sys.stderr.fileno()
        self._saved = {fd: os.dup(fd) for fd in _stdio_descriptors()}
        self._real_stderr = os.dup(stderr)
        if self._make_live is not None:
            self._live = self._make_live(self._real_stderr)
        # Prints appear when they happen, also where the stream would otherwise wait for a full block.
        self._reconfigured = [
            stream
            for stream in (sys.stdout, sys.stderr)
            if not getattr(stream, "line_buffering", True) and hasattr(stream, "reconfigure")
        ]
        for stream in self._reconfigured:
            stream.reconfigure(line_buffering=True)
        self._read_fd, write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        for fd in self._saved:
            os.dup2(write_fd, fd)
        os.close(write_fd)
        self._thread = threading.Thread(target=self._read_until_end, name="tesseract-stdio", daemon=True)
        self._thread.start()
        self._streams = self._shield_sink() if self._sink else None

    def _shield_sink(self) -> tuple[TextIO, TextIO, TextIO]:
        out, err = sys.stdout, sys.stderr
        fd = os.dup(self._saved[out.fileno()])
        real = os.fdopen(fd, "w", buffering=1, encoding="utf-8", errors="replace")
        sys.stdout = cast(TextIO, _Routed(out, self._thread, real))
        sys.stderr = cast(TextIO, _Routed(err, self._thread, real))
        return out, err, real

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        try:
            flush_all()
            real = None
            if self._streams is not None:
                sys.stdout, sys.stderr, real = self._streams
            for fd, saved in self._saved.items():
                os.dup2(saved, fd)
                os.close(saved)
            for stream in self._reconfigured:
                stream.reconfigure(line_buffering=False)
            # Not a join: a child that goes on running holds the pipe open.
            with self._pump_lock:
                self._pump()
                for consumer in (self._live, self._lines):
                    _flush_rest(consumer)
                self._log = self._lines = None
            if real is not None:
                real.close()
        finally:
            _stdio_lock.release()
        if self._sink_error is not None:
            print(f"the log sink failed and was called no more: {self._sink_error!r}", file=sys.stderr)

    def _read_until_end(self) -> None:
        poll = select.poll()
        poll.register(self._read_fd, select.POLLIN)
        while True:
            poll.poll()
            with self._pump_lock:
                self._pump()
                if self._written:
                    _flush_rest(self._live)
                    break
        # Only this thread closes what it polls.
        os.close(self._read_fd)
        os.close(self._real_stderr)

    def _pump(self) -> None:
        """Pass on what the pipe holds, and note if nobody can write to it any more."""
        while not self._written:
            try:
                data = os.read(self._read_fd, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._written = True
                return
            for consumer in (self._log, self._live, self._lines):
                if consumer is not None:
                    consumer(data)

    def _call_sink(self, lines: list[bytes]) -> None:
        for line in lines:
            if self._sink is None or self._sink_error is not None:
                return
            try:
                self._sink(line.decode(errors="replace"))
            except Exception as error:  # the caller's function must not stop the run, nor its log
                self._sink_error = error


def _flush_rest(consumer: Consumer | None) -> None:
    if isinstance(consumer, LineSplitter):
        consumer.close()


class _Routed:
    """A stream, except for one thread, whose writes go to another one."""

    def __init__(self, stream: TextIO, thread: threading.Thread, other: TextIO) -> None:
        self._stream, self._thread, self._other = stream, thread, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other if threading.current_thread() is self._thread else self._stream, name)


def to_stderr(prefix: bytes = b"") -> Callable[[int], Consumer]:
    """Live output for `StdioCapture`: as it comes, or line by line behind a prefix."""

    def make(fd: int) -> Consumer:
        if not prefix:
            return lambda data: write_all(fd, data)
        return LineSplitter(lambda lines: write_all(fd, b"".join(prefix + line + b"\n" for line in lines)))

    return make


@contextmanager
def stdout_reserved() -> Iterator[int]:
    """Point descriptor 1 at stderr, and yield a descriptor of the real stdout for the one result that belongs there."""
    flush_all()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        yield real
    finally:
        flush_all()
        os.dup2(real, 1)
        os.close(real)
