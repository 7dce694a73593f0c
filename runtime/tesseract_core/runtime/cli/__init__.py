"""The `tesseract-runtime` command: the endpoints of a Tesseract, and its server, from the command line.

    tesseract-runtime [GLOBAL OPTIONS] COMMAND [ARGS]

Only the encoded result is written to stdout. Everything else, whoever writes it, ends on stderr.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from tesseract_core.runtime.cli.errors import (
    EXIT_BUG,
    EXIT_USAGE_ERROR,
    CommandFailed,
    UsageError,
    report_bug,
    report_failure,
    report_usage_error,
)
from tesseract_core.runtime.logs import flush_all, reserve_stdout

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Exit status: 0 success; 1 the call failed, or something it needs is wrong; 2 the command line or its payload is
    wrong; 3 the server could not listen; 70 a bug of the runtime.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    result_fd = reserve_stdout()
    status = EXIT_BUG
    try:
        # Where others call this function, the process is theirs.
        status = _run(arguments, result_fd, may_fork=argv is None and hasattr(os, "fork"))
    finally:
        flush_all()
        gc.freeze()  # one more search through all that was imported takes a tenth of a short command
    sys.exit(status)


def _run(arguments: list[str], result_fd: int, *, may_fork: bool) -> int:
    from tesseract_core.runtime.cli.program import Program

    try:
        return Program(result_fd, may_fork=may_fork).run(arguments)
    except UsageError as error:
        report_usage_error(error)
        return EXIT_USAGE_ERROR
    except CommandFailed as error:
        report_failure(error)
        return error.status
    except BrokenPipeError:  # whoever reads the result has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), result_fd)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        report_bug(error)
        return EXIT_BUG
