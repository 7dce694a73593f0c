"""Start-up of the commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks.measure import Ratio, command, paired


def ratios() -> Iterator[Ratio]:
    python = command(sys.executable, "-c", "pass")
    yield paired("tesseract --version", command("tesseract", "--version"), "python -c pass", python, budget=3)
    yield paired(
        "python -c 'import tesseract_core'",
        command(sys.executable, "-c", "import tesseract_core"),
        "python -c pass",
        python,
        budget=2,
    )
