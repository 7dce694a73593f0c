"""HTTP over a Unix domain socket, for `requests`."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

import requests
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from tesseract_core import untrusted


class _UnixConnection(HTTPConnection):
    def __init__(self, *args: Any, socket_path: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._socket_path = socket_path

    def _new_conn(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout)
            with untrusted.socket_at(self._socket_path) as address:
                connection.connect(address)
        except TimeoutError as error:
            connection.close()
            raise ConnectTimeoutError(self, f"{self._socket_path} did not answer in time") from error
        except OSError as error:
            connection.close()
            raise NewConnectionError(self, f"cannot connect to {self._socket_path}: {error}") from error
        return connection


class _UnixPool(HTTPConnectionPool):
    ConnectionCls = _UnixConnection


class UnixAdapter(requests.adapters.HTTPAdapter):
    """Sends every request of a session to one socket, whatever host its URL names.

    Args:
        socket_path: Path of the socket.
        pool_maxsize: Idle connections kept.
    """

    def __init__(self, socket_path: str, pool_maxsize: int) -> None:
        super().__init__()
        self._new_pool = partial(_UnixPool, "localhost", maxsize=pool_maxsize, socket_path=socket_path)
        self._pool = self._new_pool()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        return self._pool

    def close(self) -> None:
        super().close()
        closing, self._pool = self._pool, self._new_pool()  # a session may be used again
        closing.close()
