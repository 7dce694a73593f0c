"""Large buffers are written beside the JSON text of a result and put in at the end, untouched by the JSON writer."""

from __future__ import annotations

import os
from typing import Any

import pybase64


class Splice:
    """Collects buffers while a result is dumped; `join` puts them in.

    The dump holds a placeholder string for each buffer. Its name is random, so no text of a user can be taken for one.
    """

    def __init__(self) -> None:
        self._name = os.urandom(16).hex()
        self._parts: list[tuple[bytes, ...]] = []

    def json(self, text: bytes) -> str:
        """Keep JSON text; returns the placeholder."""
        return self._keep(text)

    def base64(self, raw: Any) -> str:
        """Keep bytes as a base64 string; returns the placeholder."""
        return self._keep(b'"', pybase64.b64encode(raw), b'"')

    def _keep(self, *pieces: bytes) -> str:
        self._parts.append(pieces)
        return f"{self._name}:{len(self._parts) - 1}"

    def join(self, text: bytes) -> bytes:
        """Return the JSON text with all buffers in their places."""
        if not self._parts:
            return text
        first, *others = text.split(b'"%s:' % self._name.encode())
        pieces = [first]
        for other in others:
            number, _, rest = other.partition(b'"')
            pieces += [*self._parts[int(number)], rest]
        return b"".join(pieces)
