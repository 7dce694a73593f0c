"""Does Podman answer there? Asked without podman-py, whose import costs more than the question."""

from __future__ import annotations

import http.client
import socket
import urllib.parse


def ping(url: str, timeout: float) -> str | None:
    """Podman's version if its API answers at `url` within `timeout` seconds, else None."""
    scheme, _, path = url.partition("://")
    if scheme not in ("unix", "http+unix"):
        from tesseract.backends.podman.api import remote_version  # tcp: podman-py's transport

        return remote_version(url, timeout)
    connection = http.client.HTTPConnection("d", timeout=timeout)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(timeout)
        connection.sock.connect(urllib.parse.unquote(path))
        connection.request("GET", "/_ping")
        return connection.getresponse().headers.get("Libpod-API-Version")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
