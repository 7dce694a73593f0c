"""What programs and people read on stdout: JSON, tables, and what containers print."""

import codecs
import io
import json
import shutil
import sys
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from tesseract_core.visible import visible_lines

from tesseract.cli import tables
from tesseract.cli.console import logger
from tesseract.sizes import human_size as human_size

Format = Annotated[
    Literal["table", "json"], Parameter(name=["--format", "-f"], metavar="FORMAT", help="How to print the result.")
]


def print_json(value: Any) -> None:
    """One JSON document and a newline."""
    sys.stdout.write(json.dumps(value).replace("\x7f", "\\u007f") + "\n")


def print_lines(text: str) -> None:
    """Text made here that quotes others, and a newline."""
    sys.stdout.write(visible_lines(text) + "\n")


class RawOutput:
    """A sink for what a container prints: byte for byte in a pipe or file, shown safely on a terminal."""

    def __init__(self) -> None:
        bytewise = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._decoder = io.IncrementalNewlineDecoder(bytewise, translate=True) if sys.stdout.isatty() else None

    def __call__(self, data: bytes) -> None:
        shown = visible_lines(self._decoder.decode(data)).encode() if self._decoder else data
        sys.stdout.buffer.write(shown)
        sys.stdout.buffer.flush()


def print_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    flexible: Collection[str] = (),
    droppable: Sequence[str] = (),
) -> None:
    """A table; the arguments are those of `tables.lines`. What a narrow terminal leaves out is said."""
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    found, dropped = tables.lines([headers, *rows], edge, flexible, droppable)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    if dropped and rows:
        sys.stdout.flush()
        logger.info("Too narrow for: %s. A wider terminal or `--format json` shows it.", ", ".join(dropped))
