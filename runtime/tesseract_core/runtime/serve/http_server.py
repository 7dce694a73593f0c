"""The HTTP process: granian's main, which forks and watches the HTTP workers."""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import os
import resource
import socket
from collections.abc import Iterable
from urllib.parse import quote

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from tesseract_core.runtime.config import RuntimeConfig
from tesseract_core.runtime.serve import guards
from tesseract_core.runtime.serve.address import Address, is_loopback
from tesseract_core.runtime.serve.board import Board
from tesseract_core.runtime.serve.dispatch import QueueDispatcher
from tesseract_core.runtime.serve.http_app import Policy, build_app
from tesseract_core.runtime.serve.processes import default_signals, die_with_parent

# Requests that one HTTP worker holds at once. Those that wait for a compute process count, and /health must not wait
# behind them, so this is not what bounds the queue.
_MAX_CONNECTIONS = 65536
_KEEP_ALIVE_MS = 60_000
_LOGGING = {
    "formatters": {"plain": {"format": "[%(levelname)s] %(message)s"}},
    "handlers": {"console": {"formatter": "plain", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
    "loggers": {
        "_granian": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "granian.access": {"handlers": ["console"], "level": "INFO", "propagate": False},
    },
}
_ACCESS = '%(addr)s - "%(method)s %(path)s %(protocol)s" %(status)d'


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
    _raise_file_limit()
    dispatcher = QueueDispatcher(sender, max_pending=config.max_queue + num_workers, board=board)
    app = build_app(dispatcher, document, endpoints, policy(config, address))
    parent = os.getpid()

    def begin_worker() -> None:
        # granian's main ends a worker by SIGTERM, which would get lost in the handler inherited from that main.
        default_signals()
        die_with_parent(parent)

    os.register_at_fork(before=gc.freeze, after_in_child=begin_worker)
    # granian would spawn where that is Python's default, and the application is here already.
    multiprocessing.set_start_method("fork", force=True)
    logging.getLogger("_granian").addFilter(_no_advice)
    logging.getLogger("granian.access").addFilter(_presentable)
    server = Server(
        target="tesseract",
        address=address.host,
        port=address.port,
        uds=address.uds,
        uds_permissions=0o600 if address.uds else None,
        interface=Interfaces.ASGI,
        # HTTP/2 names the host in a pseudo-header that the Host check would not see; the contract is HTTP/1.1.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_KEEP_ALIVE_MS),
        loop=Loops.asyncio,
        websockets=False,
        workers=num_workers,
        backpressure=_MAX_CONNECTIONS,
        respawn_failed_workers=True,
        workers_kill_timeout=max(1, math.ceil(config.shutdown_timeout)),
        log_dictconfig=_LOGGING,
        log_access=True,
        log_access_format=_ACCESS,
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=lambda: app, wrap_loader=False)
    return 0


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


def _no_advice(record: logging.LogRecord) -> bool:
    """Drop granian's advice on the number of workers: ours only move bytes, and one per compute process is right."""
    return "number of workers" not in str(record.msg)


def _presentable(record: logging.LogRecord) -> bool:
    """Show a path as it stood in the request line: decoded, it may hold line breaks and control characters.

    Drops the access lines of health checks that succeed: some come several times a second, for ever.
    """
    request = record.args
    if isinstance(request, dict):
        if request["path"] == "/health" and request["status"] == 200:
            return False
        record.args = {**request, "path": quote(request["path"], safe="/:@!$&'()*+,;=")}
    return True


def _raise_file_limit() -> None:
    """Allow as many open files as we may: a waiting request takes up to three."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
