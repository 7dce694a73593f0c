"""Fenced blocks of README and user guide."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:<!-- (?:not run: (?P<reason>[^\n]*)|file: (?P<file>[^\n]*)) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, where it starts, why it is not run (empty: it is), what file it is."""

    language: str
    text: str
    line: int
    reason: str
    file: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(m["language"], m["text"], text.count("\n", 0, m.start("text")) + 1, m["reason"] or "", m["file"] or "")
        for m in FENCE.finditer(text)
    ]


def file_of(page: Path, name: str) -> str:
    """The text that a page tells its reader to put into the file `name`."""
    return next(block.text for block in blocks_of(page) if block.file == name)
