"""Help for `tesseract run`: our own, or that of the runtime inside an image in our words."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace

from tesseract_core.visible import visible_lines

from tesseract import serving
from tesseract.errors import UserError

_CALLED = re.compile(r"^(\W*(?:Usage: |Try '))tesseract-runtime", re.IGNORECASE)
# These commands exist in the runtime but make no sense in a one-shot container.
_HIDDEN_ROW = re.compile(r"^[\s│|]*(serve|health)\s{2,}")


def print_own(command: str) -> None:
    """Print the help screen of one of our commands on stdout."""
    from tesseract.cli.app import make_app

    make_app().help_print([command])


def forward(request: serving.RunRequest) -> None:
    """Ask the runtime for the help of a command and print it on stderr."""
    text = bytearray()
    asking = replace(
        request,
        args=("--help",),
        environment={**request.environment, "COLUMNS": str(shutil.get_terminal_size().columns)},
        debugger=False,
        input_path=None,
        output_path=None,
        output_format=None,
        output_file=None,
    )
    result = serving.run_once(asking, text.extend, text.extend)
    sys.stderr.write(visible_lines(translate(text.decode(errors="replace"), request.image)))
    if result.exit_status != 0:
        raise UserError(f"Error running Tesseract '{request.image}': --help ended with status {result.exit_status}.")


def translate(text: str, image: str) -> str:
    """Help of `tesseract-runtime` as help of `tesseract run IMAGE`."""
    lines = [line for line in text.splitlines(keepends=True) if not _HIDDEN_ROW.match(line)]
    return "".join(reworded(line, image) for line in lines)


def reworded(line: str, image: str) -> str:
    """A line of the runtime that says how to call it, as what a user of `tesseract run IMAGE` types."""
    return _CALLED.sub(rf"\1tesseract run {image}", line)
