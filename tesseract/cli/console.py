"""What people read: log lines with prefixes, errors and usage hints. All of it goes to stderr.

Only the first line of a message has a prefix, the others are indented: no text of others can pass for a line of ours.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TextIO

from tesseract_core.lines import Lines
from tesseract_core.visible import visible, visible_lines

from tesseract.tail import Tail

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger("tesseract")

_SEVERAL = {"several": True}  # marks a record each of whose lines is a message

_PREFIXES = {
    logging.DEBUG: "[+]",
    logging.INFO: "[i]",
    logging.WARNING: "[!]",
    logging.ERROR: "[-]",
    logging.CRITICAL: "[x]",
}
_COLOURS = {
    logging.DEBUG: "\033[2m",
    logging.INFO: "\033[34m",
    logging.WARNING: "\033[33m",
    logging.ERROR: "\033[31m",
    logging.CRITICAL: "\033[1;31m",
}


def in_colour(stream: TextIO) -> bool:
    """Whether what is written there should have colours: it is a terminal that can, and NO_COLOR is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _prefix(level: int) -> str:
    sign = _PREFIXES.get(level, "[i]")
    return f" {_COLOURS.get(level, '')}{sign}\033[0m " if in_colour(sys.stderr) else f" {sign} "


def _message(level: int, text: str) -> str:
    return _prefix(level) + _indented(text)


def _indented(text: str) -> str:
    return visible_lines(text).replace("\n", "\n     ")


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if hasattr(record, "several"):
            prefix = _prefix(record.levelno)
            return prefix + visible_lines(text).replace("\n", f"\n{prefix}")
        return _message(record.levelno, text)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stderr` is at the moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


class LineLog:
    """A sink for bytes that logs each line as it is complete, and keeps the end of what came.

    A progress bar is a line about every second.

    Args:
        level: Severity of each line.
        reword: What to make of each line before.

    Attributes:
        empty: Whether nothing has come.
    """

    def __init__(self, level: int, reword: Callable[[str], str] = str) -> None:
        self.empty = True
        self._end = Tail()
        self._level = level
        self._reword = reword
        self._lines = Lines()

    def __call__(self, data: bytes) -> None:
        self.empty = False
        self._log(self._lines.feed(data))

    def close(self) -> None:
        """Log a last line that has no end."""
        self._log(self._lines.end())

    @property
    def text(self) -> str:
        """The last lines that came, reworded."""
        return self._end.text

    def _log(self, lines: list[str]) -> None:
        if not lines:
            return
        text = "\n".join(map(self._reword, lines))
        self._end.feed(f"{text}\n".encode(errors="replace"))
        logger.log(self._level, "%s", text, extra=_SEVERAL)


def set_up() -> None:
    """Route the logger `tesseract` and Python warnings to stderr."""
    handler = _StderrHandler()
    handler.setFormatter(_Formatter())
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    warnings.showwarning = _show_warning


def set_level(name: str) -> None:
    """Set the threshold (`debug` ... `critical`)."""
    logger.setLevel(name.upper())


def is_debug() -> bool:
    return logger.isEnabledFor(logging.DEBUG)


def user_error(error: Exception) -> None:
    """The message (with `--loglevel debug`: the traceback), then `Aborting`."""
    if is_debug():
        show_traceback(error)
    else:
        sys.stderr.write(_message(logging.ERROR, str(error)) + "\n")
    aborting("Aborting")


def show_traceback(error: BaseException) -> None:
    """The traceback, indented below its first line."""
    sys.stderr.write(_indented("".join(traceback.format_exception(error)).rstrip("\n")) + "\n")


def aborting(message: str) -> None:
    """The last line of a command that failed."""
    sys.stderr.write(_message(logging.CRITICAL, message) + "\n")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean '...'?`, or nothing where nothing is close."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def usage_error(usage: str, command: str, message: str) -> None:
    """Usage line, hint, and the message in a box."""
    width = max(24, min(100, shutil.get_terminal_size().columns))
    parts = [visible(part) for part in message.splitlines()]
    lines = [line for part in parts for line in textwrap.wrap(part, width - 4) or [""]]
    box = [f"╭─ Error {'─' * (width - 10)}╮", *(f"│ {line:<{width - 4}} │" for line in lines), f"╰{'─' * (width - 2)}╯"]
    sys.stderr.write("\n".join([usage, f"Try '{command} -h' for help.", *box, ""]))


def error_console() -> Console:
    """A console for help that is shown because something is missing."""
    from rich.console import Console

    return Console(stderr=True)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    logger.warning("%s: %s", category.__name__, message)
