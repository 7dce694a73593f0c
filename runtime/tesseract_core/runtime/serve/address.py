"""Where the server listens: resolved, and checked to be free before anything slow happens.

granian binds with SO_REUSEPORT, so it would silently share a taken port with whoever has it.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from dataclasses import dataclass, replace
from pathlib import Path


class AddressUnavailable(Exception):
    """The server cannot listen there. The message is one line for the user."""


@dataclass(frozen=True)
class Address:
    """A host and a port, or the path of a Unix socket."""

    host: str
    port: int
    uds: Path | None = None

    @property
    def url(self) -> str:
        """What a user may type into a client."""
        if self.uds:
            return f"http+unix://{self.uds}"
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that listens on `host`."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def claim(address: Address) -> Address:
    """Return `address` with its host as a number and its port chosen, if they are free; removes a stale socket file.

    Raises `AddressUnavailable`.
    """
    if address.uds:
        _check_socket_file(address.uds)
        return address
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # We listen on one address. Whoever looks up the name tries all of them, whoever writes 127.0.0.1 only that.
        family, _, _, _, sockaddr = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # Connections of a server that has just stopped do not count, a listening one does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(sockaddr)
            host, port = probe.getsockname()[:2]
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AddressUnavailable(
            f"Cannot listen on {address.url}: {reason}. Choose another address with --host and --port"
        ) from None
    return replace(address, host=host, port=port)


def _check_socket_file(path: Path) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise AddressUnavailable(f"Cannot listen on {path}: its directory does not exist; create it") from None
        return
    if not stat.S_ISSOCK(mode):
        raise AddressUnavailable(f"Cannot listen on {path}: a file that is not a socket is there; move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # left behind by a server that was killed
            return
        except OSError as error:
            raise AddressUnavailable(f"Cannot listen on {path}: {error.strerror}") from None
    raise AddressUnavailable(f"Cannot listen on {path}: another server does; stop it or choose another socket")
