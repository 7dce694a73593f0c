"""How far a transfer is: a bar on a terminal, nothing in a pipe, nothing for what is done in a moment."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tesseract_core.visible import visible

if TYPE_CHECKING:
    from rich.progress import Progress

_MOMENT = 0.5  # seconds

OnProgress = Callable[[str, int, int | None], object]
"""Called with the name of a file, the bytes moved so far in all, and the bytes to move in all (None if unknown)."""


@contextmanager
def shown(title: str) -> Iterator[OnProgress]:
    """Show the progress that the yielded function is told about, on stderr."""
    display = _Display(title)
    try:
        yield display.update
    finally:
        display.close()


class _Display:
    def __init__(self, title: str) -> None:
        level = logging.getLogger("tesseract").level  # not set where we are used as a library
        self._title = title
        self._wanted = sys.stderr.isatty() and level <= logging.INFO
        self._start = time.monotonic()
        self._bar: Progress | None = None

    def update(self, name: str, done: int, total: int | None) -> None:
        if not self._wanted or time.monotonic() - self._start < _MOMENT:
            return
        if self._bar is None:
            self._bar = _bar()
            self._bar.add_task(visible(self._title))
            self._bar.start()
        title = visible(f"{self._title}: {name}")
        self._bar.update(self._bar.task_ids[0], completed=done, total=total, description=title)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    title = TextColumn("{task.description}", markup=False)
    columns = (title, BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
