"""Where a container's API can be reached, read back from what the engine and our labels say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote

from tesseract.backends.spec import ContainerInfo
from tesseract.serving import labels
from tesseract.serving.plan import API_PORT


@dataclass(frozen=True)
class Address:
    """How clients find a Tesseract.

    Attributes:
        ip, port: Address on this host; `None` where no TCP port is published.
        api_port: Port inside the container, for other containers of its networks.
        socket: Path of its Unix socket on this host.
    """

    ip: str | None
    port: int | None
    api_port: int
    socket: str | None = None

    @property
    def url(self) -> str | None:
        """Base URL for a client on this host."""
        if self.socket:
            return f"http+unix://{quote(self.socket, safe='')}"
        if self.port is None:
            return None
        ip = reachable_ip(self.ip)
        return f"http://{f'[{ip}]' if ':' in ip else ip}:{self.port}"


def address_of(container: ContainerInfo) -> Address:
    """Address of a served container, ours or one that another tool started."""
    api_port = _api_port(container)
    ours = labels.of(container)
    socket = ours.get(labels.SOCKET)
    if container.host_network:
        return Address(reachable_ip(ours.get(labels.HOST_IP)), api_port, api_port, socket)
    for published in container.ports:
        if published.container_port == api_port:
            return Address(published.host_ip or "0.0.0.0", published.host_port, api_port, socket)
    return Address(None, None, api_port, socket)


def reachable_ip(ip: str | None) -> str:
    """The address under which this host reaches what is bound to `ip`."""
    return {None: "127.0.0.1", "": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(ip, ip or "127.0.0.1")


def port_number(text: str) -> int | None:
    """The port that a text from a container names; None if it names none."""
    return int(text) if re.fullmatch(r"[0-9]{1,5}", text) else None


def _api_port(container: ContainerInfo) -> int:
    # By contract the third word of the command: `serve --port PORT ...`.
    for before, word in pairwise(container.command):
        if before == "--port" and (port := port_number(word)) is not None:
            return port
    return API_PORT
