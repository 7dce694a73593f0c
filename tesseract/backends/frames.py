"""How engines multiplex stdout and stderr over one connection: 8 bytes (stream, 0, 0, 0, length), then the payload."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

STDOUT, STDERR = 1, 2


def frames(read: Callable[[int], bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield `(stream, payload)` as they arrive, until the end of the connection.

    Args:
        read: Reads exactly that many bytes, fewer only at the end.
    """
    while len(header := read(8)) == 8:
        stream, length = struct.unpack(">BxxxL", header)
        if length:
            yield stream, read(length)


def join(data: Iterator[tuple[int, bytes]]) -> tuple[bytes, bytes]:
    """All of stdout and all of stderr."""
    out: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
    for stream, payload in data:
        out.setdefault(stream, []).append(payload)
    return b"".join(out[STDOUT]), b"".join(out[STDERR])
