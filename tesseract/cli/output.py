"""What programs and people read on stdout: JSON and tables."""

import json
import shutil
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

Format = Annotated[
    Literal["table", "json"], Parameter(name=["--format", "-f"], metavar="FORMAT", help="How to print the result.")
]


def print_json(value: Any) -> None:
    """One JSON document and a newline."""
    sys.stdout.write(json.dumps(value) + "\n")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need to be; on a terminal, lines end at its edge."""
    cells = [[" ".join(cell.split()) for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    edge = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        sys.stdout.write((line if edge is None or len(line) <= edge else line[: edge - 1] + "…") + "\n")


def human_size(size: int) -> str:
    """Bytes in decimal units, as container engines print them."""
    value = float(size)
    units = ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"
