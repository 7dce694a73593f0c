"""Host ports: the grammar of `--port`, and the candidates to try."""

from __future__ import annotations

import errno
import random
import re
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tesseract.errors import InvalidValue, PortInUse

MAX_ATTEMPTS = 5
_PORTS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


@dataclass(frozen=True)
class PortRange:
    """Host ports from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def fixed(self) -> bool:
        return self.first == self.last

    def __str__(self) -> str:
        return f"{self.first}" if self.fixed else f"{self.first}-{self.last}"


def parse_port(text: str | None) -> PortRange | None:
    """`8000` or `8000-8010`. `None` stays `None`: the engine chooses.

    Raises: InvalidValue.
    """
    if text is None:
        return None
    match = _PORTS.fullmatch(str(text).strip())
    if match is None:
        raise InvalidValue(f"Port '{text}' must be single integer or a range (e.g. -p '8000-8080').")
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise InvalidValue(f"Port range '{text}': the start port must not be greater than the end port.")
    if last > 65535:
        raise InvalidValue(f"Port '{text}' must be between 0 and 65535.")
    return PortRange(first, last)


def is_free(host_ip: str, port: int) -> bool:
    """Whether TCP `port` can be bound on `host_ip` right now."""
    family = socket.AF_INET6 if ":" in host_ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host_ip, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE  # the engine may be allowed what we are not; it has the last word
    return True


def free_port(host_ip: str) -> int:
    """A port that the kernel says is free on `host_ip`. Raises: InvalidValue if this machine has no such address."""
    family = socket.AF_INET6 if ":" in host_ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host_ip, 0))
        except OSError as error:
            raise InvalidValue(f"No port can be had on {host_ip}: {error.strerror}. Give another host IP.") from error
        return int(probe.getsockname()[1])


def get_free_port(within_range: tuple[int, int] = (49152, 65535), exclude: Collection[int] = ()) -> int:
    """A port of loopback that is free right now.

    To serve, none is needed: without a port, `serve` has the engine choose, and nobody comes in between.

    Args:
        within_range: First and last port to choose from.
        exclude: Ports to leave out.

    Raises:
        InvalidValue (a ValueError): The range is none.
        PortInUse (a RuntimeError): None is free.
    """
    wanted = parse_port(f"{within_range[0]}-{within_range[1]}")
    assert wanted is not None
    ports = [port for port in range(wanted.first, wanted.last + 1) if port not in exclude]
    for port in random.sample(ports, len(ports)):
        if is_free("127.0.0.1", port):
            return port
    raise PortInUse(f"No free ports found in range {wanted}. Give a wider range.")


def candidates(wanted: PortRange | None, host_ip: str, *, engine_chooses: bool) -> Iterator[int]:
    """Host ports to try in turn, at most `MAX_ATTEMPTS`; 0 means that the engine chooses.

    Ports of a range come in random order (so that servers started at once rarely meet), those that are visibly busy
    are left out.

    Raises: PortInUse if nothing (more) is left to try.
    """
    if wanted is None or wanted == PortRange(0, 0):
        for _ in range(MAX_ATTEMPTS):
            yield 0 if engine_chooses else free_port(host_ip)
        raise PortInUse(f"Failed to find a free port after {MAX_ATTEMPTS} attempts.")
    if wanted.fixed:
        # Where a container binds the host's port by itself, a stranger's server there would pass for it.
        if engine_chooses or is_free(host_ip, wanted.first):
            yield wanted.first
        raise PortInUse(
            f"Port {wanted.first} was already in use on {host_ip}. Choose another, or give none and get a free one."
        )
    attempts = 0
    for port in random.sample(range(wanted.first, wanted.last + 1), wanted.last - wanted.first + 1):
        if is_free(host_ip, port):
            if attempts == MAX_ATTEMPTS:
                raise PortInUse(f"Failed to find a free port after {MAX_ATTEMPTS} attempts.")
            attempts += 1
            yield port
    raise PortInUse(f"No free ports found in range {wanted}. Give a wider range, or none and get a free port.")
