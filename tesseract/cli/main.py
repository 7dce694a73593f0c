"""Entry point of `tesseract`. `--version` is answered before anything heavy is imported."""

from __future__ import annotations

import gc
import sys


def main(argv: list[str] | None = None) -> None:
    """Run the command line `argv` (`sys.argv[1:]` by default) and exit with its status."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["--version"]:
        from tesseract_core._version import __version__

        print(__version__)
        sys.exit(0)
    # What the imports make stays: looking through it for garbage, now and at the end, is a fifth of our own time.
    gc.set_threshold(300_000)
    try:
        from tesseract.cli.execute import execute

        sys.exit(execute(words))
    except KeyboardInterrupt:  # before `execute` could take it: imports need a moment
        sys.exit(130)
    finally:
        gc.freeze()
