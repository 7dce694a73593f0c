"""Lines of text from chunks of bytes, as they come."""

from __future__ import annotations

import codecs
import time

from tesseract_core.overwriting import Overwriting

LONGEST_LINE = 1 << 20
"""Characters of a line; what prints no newline may print for ever."""


class Lines:
    """Turns chunks of bytes into lines of text; of a progress bar about one a second.

    Takes time in proportion to what comes, and keeps at most one line: one of more than `LONGEST_LINE` characters is
    handed on in pieces.
    """

    def __init__(self) -> None:
        self._begun: list[str] = []  # pieces of the line that has no end yet
        self._length = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._overwriting = Overwriting()

    def feed(self, chunk: bytes) -> list[str]:
        """The lines that end in what has come; an empty chunk lets a progress bar that pauses be shown."""
        return self._split(self._overwriting.feed(chunk, time.monotonic()))

    def end(self) -> list[str]:
        """What is left, at the end."""
        lines = [*self._split(self._overwriting.end()), *self._taken("")]
        return lines if lines[-1] else lines[:-1]

    def _split(self, chunk: bytes) -> list[str]:
        first, *others = self._decoder.decode(chunk).split("\n")
        if not others and self._length + len(first) <= LONGEST_LINE:
            self._begun.append(first)
            self._length += len(first)
            return []
        lines = self._taken(first)
        if others:
            *complete, rest = others
            lines += complete
            self._begun, self._length = [rest], len(rest)
        return lines

    def _taken(self, last: str) -> list[str]:
        line = "".join([*self._begun, last])
        self._begun, self._length = [], 0
        return [line]
