"""Run a command line: every way that a command can end becomes an exit status and a few lines on stderr."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from cyclopts import CycloptsError

from tesseract.cli import circumstances, console, interrupts
from tesseract.cli.app import make_app
from tesseract.cli.registry import COMMANDS
from tesseract.cli.wording import wording
from tesseract.errors import EXIT_BUG, EXIT_USAGE_ERROR, EXIT_USER_ERROR, UsageError, UserError

if TYPE_CHECKING:
    from cyclopts import App

EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_BROKEN_PIPE = 128 + signal.SIGPIPE


def execute(words: Sequence[str]) -> int:
    """Run the command line `words` and return its exit status."""
    _stand_in_for_closed_streams()
    console.set_up()
    interrupts.set_up()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        return _execute(make_app(), words)
    except KeyboardInterrupt:
        console.aborting("Interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        if (status := _output_failure()) is not None:
            return status
        if (explained := circumstances.explained(error)) is not None:
            console.user_error(explained)
            return EXIT_USER_ERROR
        if isinstance(error, BrokenPipeError):  # whoever read our messages has enough of them
            return EXIT_BROKEN_PIPE
        _report_bug(error)
        return EXIT_BUG


def _execute(app: App, words: Sequence[str]) -> int:
    try:
        result = app.meta(_readable(words), exit_on_error=False, print_error=False, end_of_options_delimiter="")
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except CycloptsError as error:
        usage, command = _usage(app, error.command_chain or ())
        console.usage_error(usage, command, wording(error))
        return EXIT_USAGE_ERROR
    except UsageError as error:
        names = [word for word in words if word in {command.name for command in COMMANDS}]
        usage, command = _usage(app, names[:1])
        console.usage_error(usage, command, str(error))
        return EXIT_USAGE_ERROR
    except UserError as error:
        console.user_error(error)
        return EXIT_USER_ERROR


def _stand_in_for_closed_streams() -> None:
    """A shell may start us with streams closed (`>&-`): what we read is then empty, what we write is lost."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode)  # noqa: SIM115 - as long as the process
            os.set_inheritable(stream.fileno(), True)  # programs that we start expect to have all three
            setattr(sys, name, stream)


def _output_failure() -> int | None:
    """The exit status, if it is standard output that cannot be written."""
    try:
        sys.stdout.flush()
        return None
    except OSError as error:
        # The interpreter would try once more at exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # whoever read it has enough of it
            return EXIT_BROKEN_PIPE
        console.user_error(UserError(f"Cannot write to standard output: {error.strerror}."))
        return EXIT_USER_ERROR


def _end(number: int, _frame: object) -> NoReturn:
    # As an exception, so that `finally` clauses take containers and temporary files away.
    raise SystemExit(128 + number)


def _readable(words: Sequence[str]) -> list[str]:
    # cyclopts takes a lone `-` for an option; the payload of `run` may be one.
    return ["@-" if word == "-" else word for word in words]


def _usage(app: App, chain: Sequence[str]) -> tuple[str, str]:
    """Usage line, and the command to ask for help."""
    from cyclopts.help import format_usage

    usage = next((command.usage for command in COMMANDS if [command.name] == list(chain) and command.usage), None)
    return usage or f"Usage: {format_usage(app, chain)}".strip(), " ".join([*app.name, *chain])


def _kept(text: str) -> str:
    import tempfile

    with tempfile.NamedTemporaryFile(
        "w", prefix="tesseract-bug-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        file.write(text)
    return file.name


def _report_bug(error: Exception) -> None:
    if console.is_debug():
        console.show_traceback(error)
        where = "see the traceback above"
    else:
        where = f"the traceback is in {_kept(''.join(traceback.format_exception(error)))}"
    console.aborting(f"Uncaught error, which is a bug of ours ({type(error).__name__}: {error}); {where}")
