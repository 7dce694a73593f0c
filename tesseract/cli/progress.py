"""What a person sees while an image is built: on a terminal the step and the time, elsewhere a line for each step."""

from __future__ import annotations

import logging
import re
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from tesseract_core.visible import visible

if TYPE_CHECKING:
    from rich.progress import Progress

# Podman says `STEP 3/12: RUN ...`; BuildKit `#7 [stage-0 3/9] RUN ...`.
_STEP = re.compile(r"(?:STEP (\d+)/(\d+): |#\d+ \[(?:\S+ )?(\d+)/(\d+)\] )(.*)")
_LONGEST = 2000  # characters of a line that are looked at
_INSTALL = re.compile(r"install\.sh (\w+)")
_STEPS = {
    "environment": "Installing the Python environment",
    "runtime": "Installing the Tesseract runtime",
    "packages": "Installing Debian packages",
    "requirements": "Installing requirements",
    "conda": "Installing the conda environment",
}


class BuildProgress:
    """Shows the running step and the elapsed time; in a pipe, a line for each step. At level debug, each line as it is.

    Args:
        logger: Where the lines go.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._bar: Progress | None = None

    def __enter__(self) -> BuildProgress:
        # With the lines themselves on the screen a spinner would only be in their way.
        if sys.stderr.isatty() and not self._logger.isEnabledFor(logging.DEBUG):
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def line(self, text: str) -> None:
        """Take one line of the engine's output."""
        self._logger.debug("%s", text)
        shown = describe(text)
        if self._bar is not None and shown:
            self._bar.update(self._bar.task_ids[0], description=shown)
        elif shown and not self._logger.isEnabledFor(logging.DEBUG):
            self._logger.info("%s", shown)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.add_task("Preparing the build context")
        self._bar.start()


def describe(line: str) -> str | None:
    """What to show for a line of output, if it starts a step: `Installing requirements (9/17)`."""
    line = visible(line[:_LONGEST])
    match = _STEP.match(line)
    if match is None:
        return line if line.startswith("Preparing ") else None
    number, total, text = match[1] or match[3], match[2] or match[4], match[5]
    install = _INSTALL.search(text)
    if install:
        what = _STEPS.get(install[1], install[1])
    elif "tesseract-runtime check" in text:
        what = "Checking the Tesseract"
    else:
        what = re.sub(r"(?<!\S)--mount=\S+ ", "", text)[:60]
    return f"{what} ({number}/{total})"
