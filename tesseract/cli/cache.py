"""`tesseract cache`: what has been fetched from URLs for `--input-path`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from tesseract.cli import output
from tesseract.cli.console import logger
from tesseract.cli.options import switch
from tesseract.transfer import cache as store


def cache(
    *,
    clear: Annotated[
        bool, switch(help="Remove all of it; Tesseracts that are being served lose the input they read from it.")
    ] = False,
    format: output.Format = "table",
) -> None:
    if clear:
        logger.info("Freed %s", output.human_size(store.clear()))
    found = store.entries()
    if format == "json":
        output.print_json([{**asdict(entry), "path": str(entry.path)} for entry in found])
    elif not clear:
        headers = ["URL", "Size", "Last used", "State", "Directory"]
        output.print_table(headers, [_as_row(entry) for entry in found], flexible=("URL", "Directory"))


def _as_row(entry: store.Entry) -> list[str]:
    state = "complete" if entry.complete else "partial"
    return [entry.url or "-", output.human_size(entry.size), entry.used, state, str(entry.path)]
