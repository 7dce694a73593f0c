"""Entry point of `tesseract`. `--version` is answered before anything heavy is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line `argv` (`sys.argv[1:]` by default) and exit with its status."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["--version"]:
        from tesseract_core._version import __version__

        print(__version__)
        sys.exit(0)

    from tesseract.cli.execute import execute

    sys.exit(execute(words))
