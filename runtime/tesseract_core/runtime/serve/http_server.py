"""The HTTP process: forks the HTTP workers, which share its memory and its sockets, and replaces those that die."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from granian.net import SocketHolder, SocketSpec, UnixSocketSpec  # type: ignore[attr-defined]

from tesseract_core.runtime.config import RuntimeConfig
from tesseract_core.runtime.serve import access_log, guards, http_worker
from tesseract_core.runtime.serve.address import Address, is_loopback
from tesseract_core.runtime.serve.board import Board
from tesseract_core.runtime.serve.bodies import Bodies, Budget
from tesseract_core.runtime.serve.connections import Connections, raise_file_limit
from tesseract_core.runtime.serve.dispatch import QueueDispatcher
from tesseract_core.runtime.serve.http_app import Policy, build_app
from tesseract_core.runtime.serve.processes import describe_exit, fork, wake_on_signals

_BACKLOG = 1024
_MAX_FAILED_STARTS = 3
# A worker that dies this soon after its start is replaced later and later.
_SHORT_LIFE_S = 10.0
_MIN_DELAY_S, _MAX_DELAY_S = 0.1, 5.0
# Beyond the time that workers have for finishing calls.
_GRACE_S = 1.0


def run(
    sender: socket.socket,
    document: bytes,
    endpoints: Iterable[str],
    *,
    address: Address,
    num_workers: int,
    config: RuntimeConfig,
    board: Board,
) -> int:
    """Serve until SIGTERM; running and waiting calls are finished within `config.shutdown_timeout` seconds.

    `sender` is the sending end of the queue to the compute processes, and on the `board` stands how they died. Returns
    the exit status.
    """
    most = max(guards.body_limit(0) // http_worker.READ_BUFFER, (config.max_queue + num_workers) * 4 // 3 + 1)
    connections = Connections(min(raise_file_limit(), most), address, config.body_timeout)
    # Some connections are left for those who do not compute: /health is answered in any case.
    pending = min(config.max_queue + num_workers, connections.limit * 3 // 4)
    dispatcher = QueueDispatcher(sender, max_pending=pending, board=board)
    limits = policy(config, address)
    budget = Budget(limits.max_body_size, num_workers)
    bodies = Bodies(budget, config.body_timeout)
    app = build_app(dispatcher, document, endpoints, limits, bodies)
    access_log.install_filters()
    listeners = _listen(address, num_workers)

    def serve(number: int, ready_fd: int) -> int:
        budget.enter(number)
        for other in set(listeners) - {listeners[number]}:
            os.close(other.get_fd())
        return http_worker.run(
            app,
            listeners[number],
            ready_fd,
            bodies=bodies,
            connections=connections,
            shutdown_timeout=config.shutdown_timeout,
        )

    try:
        return _Workers(serve, num_workers).run(config.shutdown_timeout, set(listeners))
    finally:
        if address.uds:
            address.uds.unlink(missing_ok=True)


def policy(config: RuntimeConfig, address: Address) -> Policy:
    """Return who may call and how much they may send."""
    names = set(config.allowed_hosts)
    if address.uds or "*" in names:
        names = set()
    elif is_loopback(address.host):
        names |= {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}
    return Policy(
        max_body_size=guards.body_limit(config.max_body_size),
        host_names=tuple(sorted(names)),
        allowed_origins=config.allowed_origins,
        token=config.token,
    )


def _listen(address: Address, num_workers: int) -> list[SocketHolder]:
    """A listening socket per worker; the kernel spreads connections over them. They outlive a worker that dies.

    A Unix socket has one name, so there is one for all.
    """
    if address.uds:
        return [UnixSocketSpec(str(address.uds), _BACKLOG, 0o600).build()] * num_workers
    return [SocketSpec(address.host, address.port, _BACKLOG).build() for _ in range(num_workers)]


@dataclass
class _Worker:
    number: int
    pid: int = 0
    ready_fd: int = -1
    started: float = 0.0
    due: float | None = 0.0  # when to start it; None while it runs
    failed_starts: int = 0
    short_lives: int = 0


class _Workers:
    """The workers' parent, which does nothing else."""

    def __init__(self, serve: Callable[[int, int], int], count: int) -> None:
        self._serve = serve
        self._workers = [_Worker(number) for number in range(count)]
        self._stopping = False

    def run(self, shutdown_timeout: float, listeners: Iterable[SocketHolder]) -> int:
        """Keep the workers running until SIGTERM, then end them; returns the exit status."""
        self._listen_for_signals()
        status = 0
        while not self._stopping and not status:
            for worker in self._workers:
                if worker.due is not None and worker.due <= time.monotonic():
                    self._start(worker)
            self._wait(min((worker.due for worker in self._workers if worker.due is not None), default=None))
            status = self._reap()
        for listener in listeners:  # connections that nobody would accept are refused
            os.close(listener.get_fd())
        self._end(0 if status else shutdown_timeout + _GRACE_S)
        return status

    def _start(self, worker: _Worker) -> None:
        read_fd, write_fd = os.pipe()

        def target() -> int:
            os.close(read_fd)
            return self._serve(worker.number, write_fd)

        worker.pid = fork(target)
        os.close(write_fd)
        worker.ready_fd, worker.started, worker.due = read_fd, time.monotonic(), None

    def _reap(self) -> int:
        """Arrange for the replacement of workers that died; returns an exit status if one cannot be started."""
        for worker in self._workers:
            if not worker.pid:
                continue
            ended, status = os.waitpid(worker.pid, os.WNOHANG)
            if not ended:
                continue
            served = bool(os.read(worker.ready_fd, 1))
            os.close(worker.ready_fd)
            pid, worker.pid = worker.pid, 0
            if self._stopping:
                continue
            print(f"The HTTP worker (pid {pid}) ended: {describe_exit(status)}", file=sys.stderr, flush=True)
            worker.failed_starts = 0 if served else worker.failed_starts + 1
            if worker.failed_starts == _MAX_FAILED_STARTS:
                print(f"It failed to start {_MAX_FAILED_STARTS} times; giving up", file=sys.stderr, flush=True)
                return 1
            now = time.monotonic()
            short = now - worker.started < _SHORT_LIFE_S
            delay = min(_MIN_DELAY_S * 2**worker.short_lives, _MAX_DELAY_S) if short else 0
            worker.short_lives = worker.short_lives + 1 if short else 0
            worker.due = now + delay
        return 0

    def _end(self, patience: float) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, signal.SIGTERM)
        self._stopping = True
        deadline = time.monotonic() + patience
        while any(worker.pid for worker in self._workers):
            if time.monotonic() >= deadline:
                for worker in self._workers:
                    if worker.pid:
                        os.kill(worker.pid, signal.SIGKILL)
            self._wait(max(deadline, time.monotonic() + 0.1))
            self._reap()

    # Signals

    def _listen_for_signals(self) -> None:
        self._wakeup, self._wake = wake_on_signals()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wait(self, until: float | None) -> None:
        """Sleep until a signal comes, a child's death included, or until that time."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        select.select([self._wakeup], [], [], timeout)
        with suppress(BlockingIOError):
            while self._wakeup.recv(4096):
                pass
