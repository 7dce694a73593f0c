"""An HTTP worker: granian in an event loop of its own, which also makes room and ends as soon as calls have ended."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server

from tesseract_core.runtime.serve.access_log import FORMAT, LOGGING
from tesseract_core.runtime.serve.asgi import ASGIApp
from tesseract_core.runtime.serve.bodies import Bodies
from tesseract_core.runtime.serve.connections import Connections

_KEEP_ALIVE_MS = 60_000
# What granian may hold of a request that nobody has asked it for yet, per connection: also of half a head.
READ_BUFFER = 8192 + 4096 * 100
# Answers are complete when nothing has been left to send so many times in a row.
_QUIET_ROUNDS, _ROUND_S = 5, 0.02


class _Server(Server):
    """granian's embedded server on a socket that listens already."""

    def __init__(self, app: ASGIApp, listener: SocketHolder, **settings: Any) -> None:
        super().__init__(app, **settings)
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._ssp = None
        self._shd = self._listener  # type: ignore[assignment]


def run(
    app: ASGIApp,
    listener: SocketHolder,
    ready_fd: int,
    *,
    bodies: Bodies,
    connections: Connections,
    shutdown_timeout: float,
) -> int:
    """Serve until SIGTERM, then finish calls within `shutdown_timeout` seconds. Returns the exit status.

    One byte is written to the pipe `ready_fd` once requests are taken.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # The loop is not closed: requests that nobody waits for any more may still be in it.
    return loop.run_until_complete(_serve(app, listener, ready_fd, bodies, connections, shutdown_timeout))


async def _serve(
    app: ASGIApp,
    listener: SocketHolder,
    ready_fd: int,
    bodies: Bodies,
    connections: Connections,
    shutdown_timeout: float,
) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = _Server(
        connections.track(app),
        listener,
        interface=Interfaces.ASGINL,
        # HTTP/2 names the host in a pseudo-header that the Host check would not see; the contract is HTTP/1.1.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_KEEP_ALIVE_MS, max_buffer_size=READ_BUFFER),
        websockets=False,
        # Requests that wait for a compute process count, so this is not what bounds the queue.
        backpressure=connections.limit,
        log_dictconfig=LOGGING,
        log_access=True,
        log_access_format=FORMAT,
        log_level=LogLevels.warning,
    )
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stopped.wait())
    room = asyncio.create_task(connections.keep_room(bodies.give_up_stalled, bodies.give_up_slowest))
    await asyncio.wait({serving, stopping}, timeout=_ROUND_S)
    os.write(ready_fd, b"\1")
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        serving.result()
        return 1
    server.stop()  # type: ignore[no-untyped-call]  # no new connections, and the idle ones end
    bodies.stop()
    quiet = asyncio.create_task(_quiet(connections, time.monotonic() + shutdown_timeout))
    await asyncio.wait({serving, quiet}, return_when=asyncio.FIRST_COMPLETED)
    room.cancel()
    return 0


async def _quiet(connections: Connections, deadline: float) -> None:
    """Return once all answers are with their clients. Half a request, which granian would wait for, is no call."""
    rounds = 0
    while rounds < _QUIET_ROUNDS and time.monotonic() < deadline:
        await asyncio.sleep(_ROUND_S)
        rounds = rounds + 1 if not connections.requests and connections.all_sent() else 0
