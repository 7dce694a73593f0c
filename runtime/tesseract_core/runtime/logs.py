"""Capture of everything that a run prints, at the level of file descriptors.

Python's prints, C and Fortran libraries and child processes all end in the same pipe; a thread tees it to the run's log
and to where it can be watched live. Progress bars, which overwrite their line, become a line about every second.
"""

from __future__ import annotations

import ctypes
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TextIO

from tesseract_core.overwriting import Overwriting
from tesseract_core.runtime.pipe_reader import close_pipe, open_pipe, read_pipe, the_reader

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
        self._unfinished: list[bytes] = []  # pieces, since joining them at each one would take quadratic time

    def __call__(self, data: bytes) -> None:
        first, *others = data.split(b"\n")
        self._unfinished.append(first)
        if others:
            lines = [b"".join(self._unfinished), *others]
            self._unfinished = [lines.pop()]
            self._sink(lines)

    def close(self) -> None:
        if rest := b"".join(self._unfinished):
            self._unfinished = []
            self._sink([rest])


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
    if os.name != "posix":
        return ()
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
        self._overwriting = Overwriting()
        self._sink_error: Exception | None = None
        self._lock = threading.Lock()
        self._ended = False

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
        self._saved = {fd: os.dup(fd) for fd in _stdio_descriptors()}
        self._real_stderr = os.dup(sys.stderr.fileno())
        if self._make_live is not None:
            self._live = self._make_live(self._real_stderr)
        # Prints appear when they happen, also where the stream would otherwise wait for a full block.
        self._block_buffered = [
            stream
            for stream in (sys.stdout, sys.stderr)
            if isinstance(stream, io.TextIOWrapper) and not stream.line_buffering
        ]
        for stream in self._block_buffered:
            stream.reconfigure(line_buffering=True)
        self._diversions = ExitStack()
        if self._sink is not None:
            for diverted in (sys.stdout, sys.stderr):
                self._diversions.enter_context(_sink_diverted(diverted, self._saved[diverted.fileno()], self))
        self._read_fd, write_fd = open_pipe()
        os.set_blocking(self._read_fd, False)
        for fd in self._saved:
            os.dup2(write_fd, fd)
        os.close(write_fd)
        self._pid = os.getpid()
        self._reader = the_reader()
        self._reader.add(self._read_fd, self.pump)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        try:
            flush_all()
            forked = os.getpid() != self._pid
            if not forked:
                self._reader.remove(self._read_fd)
            for fd, saved in self._saved.items():
                os.dup2(saved, fd)
                os.close(saved)
            for stream in self._block_buffered:
                stream.reconfigure(line_buffering=False)
            if not forked:  # else the pipe is the parent's to read
                self._finish()
        finally:
            _stdio_lock.release()
        if self._sink_error is not None:
            print(f"the log sink failed and was called no more: {self._sink_error!r}", file=sys.stderr)

    def _finish(self) -> None:
        """Pass on the rest. This does not wait for the pipe's end: a child that goes on running holds it open."""
        self.pump()
        with self._lock:
            self._pass_on(self._overwriting.end())
            for consumer in (self._live, self._lines):
                if isinstance(consumer, LineSplitter):
                    consumer.close()
            self._log = self._lines = None
        self._diversions.close()
        if not self._ended:
            self._reader.add(self._read_fd, self.pump)

    def pump(self) -> bool:
        """Pass on what the pipe holds, and close it if nobody can write to it any more.

        Returns:
            Whether something is held back: call again in about a second, even if nothing comes.
        """
        with self._lock:
            while not self._ended:
                try:
                    with read_pipe(self._read_fd) as data:
                        if isinstance(self._live, _Terminal):
                            self._live(data)
                        self._pass_on(self._overwriting.feed(data, time.monotonic()))
                except BlockingIOError:
                    break
                if not data:
                    self._end()
            if self._overwriting.waits:
                self._pass_on(self._overwriting.tick(time.monotonic()))
            return self._overwriting.waits and not self._ended

    def _pass_on(self, data: bytes) -> None:
        if data:
            for consumer in (self._log, self._live, self._lines):
                if consumer is not None and not isinstance(consumer, _Terminal):
                    consumer(data)

    def _end(self) -> None:
        self._ended = True
        self._reader.remove(self._read_fd)
        self._pass_on(self._overwriting.end())
        if isinstance(self._live, LineSplitter):
            self._live.close()
        close_pipe(self._read_fd)
        os.close(self._real_stderr)

    def _call_sink(self, lines: list[bytes]) -> None:
        _sinking.capture = self
        try:
            for line in lines:
                if self._sink is not None and self._sink_error is None:
                    self._sink(line.decode(errors="replace"))
        except Exception as error:  # the caller's function must not stop the run, nor its log
            self._sink_error = error
        finally:
            _sinking.capture = None


# Which capture's sink the current thread is in.
_sinking = threading.local()


@contextmanager
def _sink_diverted(stream: TextIO, real_fd: int, capture: StdioCapture) -> Iterator[None]:
    """Within the block, what the sink of `capture` writes to `stream` goes to `real_fd` instead.

    Otherwise a sink that prints would feed itself. The stream itself is changed, because log handlers hold on to it.
    """
    before, write = vars(stream).get("write"), stream.write
    with os.fdopen(os.dup(real_fd), "w", errors="replace") as real:

        def routed(text: str) -> int:
            if getattr(_sinking, "capture", None) is not capture:
                return write(text)
            count = real.write(text)
            real.flush()
            return count

        stream.write = routed  # type: ignore[method-assign]
        try:
            yield
        finally:
            if before is None:
                del stream.write
            else:
                stream.write = before  # type: ignore[method-assign]


class _Terminal:
    """Passes everything on to a terminal as it comes: there, progress bars look best."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __call__(self, data: bytes) -> None:
        write_all(self._fd, data)


def to_stderr(prefix: bytes = b"") -> Callable[[int], Consumer]:
    """Live output for `StdioCapture`: as it comes, or line by line behind a prefix."""

    def make(fd: int) -> Consumer:
        if prefix:
            return LineSplitter(lambda lines: write_all(fd, b"".join(prefix + line + b"\n" for line in lines)))
        return _Terminal(fd) if os.isatty(fd) else lambda data: write_all(fd, data)

    return make


def reserve_stdout() -> int:
    """Point descriptor 1 at stderr for good.

    Returns:
        A descriptor of the real stdout, for the one result that belongs there. Children do not inherit it.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:  # closed by who started us: the next file that is opened would take its place
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    flush_all()
    real = os.dup(1)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # so that lines of both appear in order
    return real


@contextmanager
def redirect_fd(from_fd: int | IO[Any], to_fd: int | IO[Any]) -> Iterator[IO[bytes]]:
    """Within the block, what is written to `from_fd` goes to `to_fd`, also from C code and child processes.

    Args:
        from_fd, to_fd: Descriptors, or open files with a descriptor.

    Yields:
        A binary file that still writes to where `from_fd` led before.

    Raises:
        io.UnsupportedOperation (an OSError): A file has no descriptor.
    """
    for stream in (sys.stdout, sys.stderr, from_fd, to_fd):
        if not isinstance(stream, int):
            stream.flush()
    from_fd, to_fd = (end if isinstance(end, int) else end.fileno() for end in (from_fd, to_fd))
    saved = os.dup(from_fd)
    os.dup2(to_fd, from_fd)
    try:
        with os.fdopen(os.dup(saved), "wb") as original:
            yield original
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os.dup2(saved, from_fd)
        os.close(saved)
