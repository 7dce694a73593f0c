"""The end of a long output, for messages: what came last says why something ended."""

from __future__ import annotations

import os
from typing import BinaryIO

LINES = 100
SIZE = 64 * 1024


class Tail:
    """Keeps the last lines of what it is fed: at most `LINES`, and at most `SIZE` bytes, however much comes."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._dropped = False

    def feed(self, data: bytes) -> None:
        self._kept += data[-2 * SIZE :]
        self._dropped |= len(data) > 2 * SIZE
        if len(self._kept) > 2 * SIZE:
            del self._kept[:-SIZE]
            self._dropped = True

    @property
    def text(self) -> str:
        """The lines, without a newline at the end, and in front of them a note where there were more."""
        kept = bytes(self._kept[-SIZE:])
        cut = self._dropped or len(self._kept) > SIZE
        if cut and b"\n" in kept[:-1]:  # the first line is but a part of one
            kept = kept.split(b"\n", 1)[1]
        lines = kept.decode(errors="replace").strip().replace("\r\n", "\n").split("\n")
        if cut or len(lines) > LINES:
            lines = [f"[... only the last {len(lines[-LINES:])} lines are shown ...]", *lines[-LINES:]]
        return "\n".join(lines)


def of_file(file: BinaryIO) -> str:
    """The end of a file, as `Tail.text`."""
    end = Tail()
    file.seek(max(0, os.fstat(file.fileno()).st_size - 4 * SIZE))
    end.feed(file.read(4 * SIZE))
    return end.text
