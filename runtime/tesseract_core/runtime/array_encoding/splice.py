"""Large buffers are written beside the JSON text of a result and put in at the end, untouched by the JSON writer."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pybase64


class Splice:
    """Collects buffers while a result is dumped; `join` puts them in.

    The dump holds a placeholder string for each buffer. Its name is random, so no text of a user can be taken for one.
    """

    def __init__(self) -> None:
        self._name = uuid.uuid4().hex
        self._parts: list[bytes] = []

    def json(self, text: bytes) -> str:
        """Keep JSON text; returns the placeholder."""
        self._parts.append(text)
        return f"{self._name}:{len(self._parts) - 1}"

    def base64(self, raw: Any) -> str:
        """Keep bytes as a base64 string; returns the placeholder."""
        return self.json(b'"' + pybase64.b64encode(raw) + b'"')

    def join(self, text: bytes) -> bytes:
        """Return the JSON text with all buffers in their places."""
        if not self._parts:
            return text
        pieces = re.split(rb'"%s:(\d+)"' % self._name.encode(), text)
        pieces[1::2] = [self._parts[int(number)] for number in pieces[1::2]]
        return b"".join(pieces)
