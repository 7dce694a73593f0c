"""The main process: forks the HTTP process and the compute processes, replaces those that die, and ends them all.

    main ── http ── HTTP worker 1..N                no user code, never wait for any
      └──── compute 1..N                            one request at a time each

It has a single thread and runs neither HTTP nor user code. All its children die with it.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.serve.address import Address, AddressUnavailable, claim, is_loopback
from tesseract_core.runtime.serve.board import Board
from tesseract_core.runtime.serve.deaths import Deaths
from tesseract_core.runtime.serve.messages import Announcement
from tesseract_core.runtime.serve.processes import (
    SHUTDOWN_SIGNALS,
    describe_exit,
    fork,
    reap,
    status_of,
    wake_on_signals,
)
from tesseract_core.runtime.serve.queue import make_queue
from tesseract_core.runtime.serve.watcher import Watcher

EXIT_FAILED = 1
EXIT_ADDRESS = 3
_MAX_FAILED_STARTS = 3
# Beyond the time that the HTTP side has for finishing calls: for its own end, and for exit hooks of user code.
_GRACE_S = 5.0


class StartFailed(Exception):
    """The compute processes do not start. The message is for the user."""


class Supervisor:
    """Runs one server from its start to its end."""

    def __init__(self, address: Address, num_workers: int, parent_pipe_fd: int | None = None) -> None:
        self._address = address
        self._num_workers = num_workers
        self._parent_pipe_fd = parent_pipe_fd
        self._config = get_config()
        self._sender, self._receiver = make_queue()
        self._board = Board(num_workers)
        self._deaths = Deaths(self._board)
        self._watcher = Watcher()
        self._http_pid = 0
        self._serving = False
        self._starting: dict[int, tuple[int, bytearray]] = {}  # pipe → pid and what came through it
        self._computing: dict[int, int] = {}  # pid → number of the worker
        self._failed_starts = 0
        self._stopping = False
        self._impatient = False
        self._drained = False
        self._poll = select.poll()

    def run(self) -> int:
        """Serve until a signal or a failure; returns the exit status."""
        self._listen_for_signals()
        try:
            self._address = claim(self._address)
            # Its imports and ours take equally long, so it starts before we know what it is to serve.
            self._fork_http()
            self._watcher.start()
            for worker in range(self._num_workers):
                self._fork_compute(worker)
            first = self._first_announcement()
            if first is None:
                return 0
            claim(self._address)
            self._begin_serving(first)
            self._greet()
            return self._supervise()
        except AddressUnavailable as error:
            print(error, file=sys.stderr, flush=True)
            return EXIT_ADDRESS
        except StartFailed as error:
            print(error, file=sys.stderr, flush=True)
            return EXIT_FAILED
        finally:
            self._end_children()

    # Start

    def _fork_http(self) -> None:
        read_fd, write_fd = os.pipe()
        self._announce = os.fdopen(write_fd, "wb")

        def target() -> int:
            self._receiver.close()
            self._announce.close()
            from tesseract_core.runtime.serve import http_server

            with open(read_fd, "rb") as announced:
                first = Announcement.decode(announced.read())
            if not first.document:  # main has ended before there was anything to serve
                return 0
            return http_server.run(
                self._sender,
                first.document,
                first.endpoints,
                address=self._address,
                num_workers=self._num_workers,
                config=self._config,
                board=self._board,
            )

        self._http_pid = fork(target)
        os.close(read_fd)
        # Only the HTTP processes can send, so their end is the end of the queue.
        self._sender.close()

    def _begin_serving(self, first: Announcement) -> None:
        self._serving = True
        with suppress(BrokenPipeError), self._announce:  # if it has died, that is noticed next
            self._announce.write(first.encode())

    def _fork_compute(self, worker: int) -> None:
        # Imported once, by us, and shared by all compute processes; not by the HTTP process, which has no use for it.
        from tesseract_core.runtime.serve import compute

        read_fd, write_fd = os.pipe()
        pipe = self._deaths.pipe(worker)

        def target() -> int:
            self._announce.close()
            os.close(read_fd)
            for other in self._starting:
                os.close(other)
            pipe.lend()
            return compute.run(self._receiver, write_fd, worker, self._board)

        pid = fork(target, own_session=True)
        self._watcher.add(pid)
        os.close(write_fd)
        os.set_blocking(read_fd, False)
        self._starting[read_fd] = (pid, bytearray())
        self._computing[pid] = worker
        self._poll.register(read_fd, select.POLLIN)

    def _first_announcement(self) -> Announcement | None:
        """Wait until one compute process has imported the user's module; None if we are told to stop before."""
        while not self._stopping:
            for announcement in self._wait():
                return announcement
            status = self._reap()
            if status is not None:
                raise StartFailed(f"The HTTP process ended before it served: {describe_exit(status)}")
        return None

    def _read_announcements(self, ready: list[int]) -> list[Announcement]:
        complete = []
        for fd in ready:
            pid, received = self._starting[fd]
            while chunk := _read(fd):
                received += chunk
            if chunk is None:
                continue
            self._poll.unregister(fd)
            os.close(fd)
            del self._starting[fd]
            announcement = Announcement.decode(bytes(received))
            if announcement.document:
                self._failed_starts = 0
                complete.append(announcement)
            else:
                self._start_failed(pid, announcement.error)
        return complete

    def _start_failed(self, pid: int, error: str) -> None:
        self._failed_starts += 1
        reason = error.rstrip()
        if not reason:
            status = status_of(pid)
            how = "" if status is None else f": {self._deaths.describe(status)}"
            reason = f"The compute process (pid {pid}) died while it imported the Tesseract{how}"
        if not self._serving:
            raise StartFailed(reason)
        if self._failed_starts >= _MAX_FAILED_STARTS:
            raise StartFailed(f"{reason}\nThe compute process failed to start {_MAX_FAILED_STARTS} times; giving up")
        print(reason, file=sys.stderr, flush=True)

    def _greet(self) -> None:
        print(f"Serving {self._config.name!r} on {self._address.url}", file=sys.stderr, flush=True)
        if self._config.debug and not (self._address.uds or is_loopback(self._address.host)):
            print(
                f"WARNING: in debug mode everybody who reaches {self._address.url} gets tracebacks with source paths; "
                "listen on 127.0.0.1, or switch it off",
                file=sys.stderr,
                flush=True,
            )

    # Run

    def _supervise(self) -> int:
        """Replace compute processes until the HTTP process ends; returns the exit status."""
        deadline = None
        while True:
            status = self._reap()
            if status is not None:
                return 0 if self._stopping else os.waitstatus_to_exitcode(status) or EXIT_FAILED
            if self._stopping and deadline is None:
                deadline = time.monotonic() + self._config.shutdown_timeout + _GRACE_S
                os.kill(self._http_pid, signal.SIGTERM)
            if self._impatient or (deadline is not None and time.monotonic() > deadline):
                return 0
            self._wait(deadline)

    def _wait(self, deadline: float | None = None) -> list[Announcement]:
        """Sleep until something happens: a signal, a child's death, an announcement, the end of our parent."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        ready = [fd for fd, _ in self._poll.poll(timeout)]
        if self._wakeup.fileno() in ready:
            self._drain_wakeup()
        if self._parent_pipe_fd in ready and not os.read(self._parent_pipe_fd, 4096):
            self._poll.unregister(self._parent_pipe_fd)
            self._stopping = True
        return self._read_announcements([fd for fd in ready if fd in self._starting])

    def _reap(self) -> int | None:
        """Replace what died, but for the HTTP process: once it has ended, its wait status is returned."""
        if not self._stopping:
            self._watcher.renew()
        for pid in list(self._computing):
            status = reap(pid)
            if status is None:
                continue
            worker = self._computing.pop(pid)
            self._watcher.remove(pid)
            if self._stopping and status == 0:
                continue  # the HTTP side is gone, and with it the queue
            starting = any(pid == other for other, _ in self._starting.values())
            if not starting:
                self._deaths.report(worker, pid, status)
            if self._serving:
                self._fork_compute(worker)
        if self._http_pid:
            ended, status = os.waitpid(self._http_pid, os.WNOHANG)
            if ended:
                self._http_pid = 0
                self._drained = self._stopping
                return status
        return None

    # Signals and end

    def _listen_for_signals(self) -> None:
        self._wakeup, self._wake = wake_on_signals()
        for number in SHUTDOWN_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._stop)
        self._poll.register(self._wakeup, select.POLLIN)
        if self._parent_pipe_fd is not None:
            self._poll.register(self._parent_pipe_fd, select.POLLIN)

    def _stop(self, number: int, _: object) -> None:
        # A second Ctrl-C means now. Not a second SIGTERM: what stops process groups (timeout, batch systems) sends two.
        self._impatient = self._stopping and number == signal.SIGINT
        self._stopping = True

    def _drain_wakeup(self) -> None:
        while _read(self._wakeup.fileno()):
            pass

    def _end_children(self) -> None:
        """End what still runs. Idle compute processes see the end of the queue and leave by themselves."""
        if self._http_pid:
            os.kill(self._http_pid, signal.SIGKILL)
            os.waitpid(self._http_pid, 0)
        deadline = time.monotonic() + _GRACE_S
        while self._computing:
            for pid in list(self._computing):
                if not self._drained or self._impatient or time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                if reap(pid) is not None:
                    del self._computing[pid]
                    self._watcher.remove(pid)
            if self._computing:
                select.select([self._wakeup], [], [], 0.1)
                self._drain_wakeup()
        self._watcher.end()


def _read(fd: int) -> bytes | None:
    """Return what there is to read, empty at the end of the file, None if there is nothing yet."""
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return None
