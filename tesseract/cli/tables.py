"""Tables for people: a line for each row in a pipe; on a terminal, cells are broken where a line would not fit."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Collection, Sequence

from tesseract_core.visible import visible

_GAP = 2
_NARROWEST = 16  # of a column that is broken
_MOST_LINES = 4  # of a broken cell


def lines(
    rows: Sequence[Sequence[str]],
    edge: int | None = None,
    flexible: Collection[str] = (),
    droppable: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """Lay out a table.

    Args:
        rows: Headers first.
        edge: Width of the terminal, None in a pipe.
        flexible: Headers of columns whose cells may be broken into lines.
        droppable: Headers of columns that may be left out, the least important first.

    Returns:
        The lines, and the headers of the columns that were left out.
    """
    cells = [[visible(" ".join(cell.split())) for cell in row] for row in rows]
    if edge is None:
        return _rendered(cells, _widths(cells)), []
    dropped: list[str] = []
    for name in (*droppable, None):
        widths = _shrunk(cells[0], _widths(cells), edge, flexible)
        if name is None or _total(widths) <= edge:
            break
        place = cells[0].index(name)
        cells = [[*row[:place], *row[place + 1 :]] for row in cells]
        dropped.append(name)
    return [_cut(line, edge) for line in _rendered(cells, widths)], dropped


def brief(text: str, at_most: int = 60) -> str:
    """The beginning of a description, up to the end of a word."""
    text = " ".join(text.replace("\\n", " ").split())
    return text if len(text) <= at_most else f"{text[:at_most].rsplit(' ', 1)[0].rstrip('.,;:')}…"


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_width, column)) for column in zip(*cells, strict=True)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _shrunk(headers: Sequence[str], widths: list[int], edge: int, flexible: Collection[str]) -> list[int]:
    """The widest flexible columns made narrower until a line fits."""
    widths = widths[:]
    while _total(widths) > edge:
        places = [i for i, name in enumerate(headers) if name in flexible and widths[i] > max(_NARROWEST, len(name))]
        if not places:
            break
        widths[max(places, key=lambda i: widths[i])] -= 1
    return widths


def _rendered(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    found = []
    for row in cells:
        broken = [_broken(cell, width) for cell, width in zip(row, widths, strict=True)]
        for part in range(max(map(len, broken))):
            texts = [cell[part] if part < len(cell) else "" for cell in broken]
            padded = [text + " " * (width - _width(text)) for text, width in zip(texts, widths, strict=True)]
            found.append((" " * _GAP).join(padded).rstrip())
    return found


def _broken(cell: str, width: int) -> list[str]:
    if _width(cell) <= width:
        return [cell]
    # Wide characters take two columns: half as many of them fit.
    count = width if cell.isascii() else max(1, width * len(cell) // _width(cell))
    return textwrap.wrap(cell, count, max_lines=_MOST_LINES, placeholder="…", break_on_hyphens=False) or [cell[:count]]


def _cut(line: str, edge: int) -> str:
    if _width(line) <= edge:
        return line
    while _width(line) > edge - 1:
        line = line[:-1]
    return line + "…"


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )
