"""What can go wrong on the command line, how it is shown, and with which status it ends."""

from __future__ import annotations

import sys
import tempfile
import traceback

EXIT_FAILURE = 1
EXIT_USAGE_ERROR = 2
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h


class UsageError(Exception):
    """The command line, or the payload on it, is wrong.

    Args:
        message: What is wrong.
        command: The command it was given to, if any.
    """

    def __init__(self, message: str, command: str = "") -> None:
        super().__init__(message)
        self.command = command


class CommandFailed(Exception):
    """The command did not succeed.

    Args:
        message: For the user; empty if everything has been said.
        details: Lines to print before it, such as the traceback of the user's code.
    """

    status = EXIT_FAILURE

    def __init__(self, message: str = "", details: str = "") -> None:
        super().__init__(message)
        self.details = details


def report_usage_error(error: UsageError) -> None:
    """Print how the command is used, where to find help, and what was wrong."""
    program = " ".join(["tesseract-runtime", *error.command.split()])
    arguments = "[OPTIONS] [ARGS]" if error.command else "[OPTIONS] COMMAND [ARGS]"
    print(f"Usage: {program} {arguments}\nTry '{program} --help' for help.", file=sys.stderr)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.panel import Panel
        from rich.text import Text

        Console(stderr=True).print(Panel(Text(str(error)), title="Error", title_align="left", border_style="red"))
    else:  # without a frame, whose lines would break the message
        print(f"Error: {error}", file=sys.stderr)


def report_failure(error: CommandFailed) -> None:
    print(error.details, end="", file=sys.stderr)
    if str(error):
        print(f"Error: {error}", file=sys.stderr)


def report_bug(error: Exception) -> None:
    """Print one line that says where the traceback lies."""
    text = "".join(traceback.format_exception(error))
    line = f"Error: tesseract-runtime failed unexpectedly ({type(error).__name__}: {error})"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="tesseract-runtime-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
    except OSError:  # nowhere to put it
        print(f"{text}{line}", file=sys.stderr)
    else:
        print(f"{line}; this is a bug. Please report it with {file.name}", file=sys.stderr)
