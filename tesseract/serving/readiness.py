"""When is a Tesseract up? Probes say "not yet" or "yes"; a watch says "never" with the reason."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from pathlib import Path

from tesseract_core import untrusted

from tesseract import tail
from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerInfo
from tesseract.deadline import Deadline
from tesseract.errors import ContainerNotFound, EngineTimeout, StartupFailed, StartupTimeout
from tesseract.serving.endings import advice, by_signal

Probe = Callable[[float], bool]
"""Whether something is ready, found out within the given number of seconds."""

_FIRST_PAUSE = 0.010
_LONGEST_PAUSE = 0.100
_LONGEST_REQUEST = 5.0
_LAST_LOOK = 2.0
_PORT_TAKEN = (
    "address already in use",
    "port is already allocated",
    "proxy already running",
    "only one usage of each socket address",
)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with untrusted.socket_at(self._path) as address:
            self.sock.connect(address)


def healthy(connect: Callable[[float], http.client.HTTPConnection], token: str | None = None) -> Probe:
    """`GET /health` answers 200."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def probe(timeout: float) -> bool:
        connection = connect(timeout)
        try:
            connection.request("GET", "/health", headers=headers)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


def healthy_tcp(ip: str, port: int, token: str | None = None) -> Probe:
    """`GET /health` at `ip:port`."""
    return healthy(lambda timeout: http.client.HTTPConnection(ip, port, timeout=timeout), token)


def healthy_unix(path: Path, token: str | None = None) -> Probe:
    """`GET /health` over the Unix socket at `path`."""
    return healthy(lambda timeout: UnixConnection(path, timeout), token)


def wait(backend: Backend, container: ContainerInfo, probe: Probe, deadline: Deadline) -> None:
    """Return once `probe` says yes.

    Raises: StartupFailed as soon as the container has ended, with its own output; StartupTimeout when time is up.
    """
    pause = _FIRST_PAUSE
    while True:
        if probe(max(0.001, deadline.remaining(_LONGEST_REQUEST) or 0.0)):
            return
        try:
            state = backend.container(container.id, deadline)
        except ContainerNotFound:
            raise StartupFailed(
                f"Tesseract container {container.name} was removed by somebody else during startup. Serve it again."
            ) from None
        except EngineTimeout:
            raise _timed_out(backend, container, deadline) from None
        if state.status in ("exited", "dead", "stopped", "removing"):
            raise _ended(backend, state)
        if deadline.expired:
            raise _timed_out(backend, container, deadline)
        time.sleep(deadline.remaining(pause) or 0.0)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def is_port_conflict(error: StartupFailed) -> bool:
    """Whether a container ended because somebody else has its port."""
    text = str(error).lower()
    return any(words in text for words in _PORT_TAKEN)


def _ended(backend: Backend, state: ContainerInfo) -> StartupFailed:
    how = ", ".join(filter(None, [f"exit code {state.exit_code}", by_signal(state)]))
    parts = [f"Tesseract container {state.name} stopped running during startup ({how})."]
    parts += [text] if (text := advice(state)) else []
    parts.append(_output(backend, state, Deadline(_LAST_LOOK)))
    return StartupFailed("\n\n".join(parts))


def _timed_out(backend: Backend, container: ContainerInfo, deadline: Deadline) -> StartupTimeout:
    # The budget is spent, but the reason is worth a moment more.
    output = _output(backend, container, Deadline(_LAST_LOOK))
    return StartupTimeout(
        f"Tesseract container {container.name} did not respond to a health check within {deadline.seconds:g} s. "
        f"If it needs longer, raise --startup-timeout (startup_timeout).\n\n{output}"
    )


def _output(backend: Backend, container: ContainerInfo, deadline: Deadline) -> str:
    end = tail.Tail()
    try:
        for chunk in backend.last_logs(container.id, tail.LINES + 1, deadline):
            end.feed(chunk)
            if deadline.expired:  # it writes faster than we read
                break
    except (ContainerNotFound, EngineTimeout) as error:
        if not end.text:
            return f"Its output could not be read: {error}"
    return f"Output from the Tesseract:\n{end.text}" if end.text else "The Tesseract gave no output."
