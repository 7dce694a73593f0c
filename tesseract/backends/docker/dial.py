"""Docker's API through a program's stdin and stdout: `sudo docker system dial-stdio`, for sockets we may not open."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from typing import Any

import requests.adapters
import urllib3
import urllib3.connection

from tesseract import proc

# A program ends when its wire is closed on both sides, which is later than `close` of the connection: an answer that is
# read until its end outlives that. Ended ones are reaped when the next one starts.
_children: list[subprocess.Popen[bytes]] = []


class _DialConnection(urllib3.connection.HTTPConnection):
    """An HTTP connection whose wire is a child process."""

    def __init__(self, argv: Sequence[str], timeout: Any = None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._argv = argv

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            _children.append(proc.spawn_on_socket(self._argv, theirs))
        _children[:] = [child for child in _children if child.poll() is None]
        ours.settimeout(self.timeout if isinstance(self.timeout, (int, float)) else None)
        self.sock = ours


class _DialPool(urllib3.HTTPConnectionPool):
    def __init__(self, argv: Sequence[str]) -> None:
        super().__init__("localhost", maxsize=10)
        self._argv = argv

    def _new_conn(self) -> Any:
        return _DialConnection(self._argv, self.timeout.connect_timeout)


class DialAdapter(requests.adapters.HTTPAdapter):
    """Sends the requests of a session over connections that `argv` makes.

    Args:
        argv: Words that connect their stdin and stdout with the API.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._pool = _DialPool(argv)
        super().__init__()

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        return str(request.path_url)

    def close(self) -> None:
        self._pool.close()
