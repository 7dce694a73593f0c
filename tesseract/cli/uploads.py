"""`tesseract uploads`: output that has not arrived at its URL."""

from __future__ import annotations

from typing import Annotated, Any

from tesseract.cli import output
from tesseract.cli.console import logger
from tesseract.cli.options import switch
from tesseract.serving import data
from tesseract.transfer.output import Output


def uploads(
    *,
    retry: Annotated[bool, switch(help="Send what was left behind; the local copy goes when all has arrived.")] = False,
    format: output.Format = "table",
) -> None:
    problem = data.deliver(item for item, in_use in data.pending() if not in_use) if retry else None
    found = [_described(item, in_use) for item, in_use in data.pending()]
    if format == "json":
        output.print_json(found)
    elif not retry:
        rows = [
            [row["url"], str(row["files"]), output.human_size(row["size"]), row["state"], row["directory"]]
            for row in found
        ]
        output.print_table(["URL", "Files", "Size", "State", "Directory"], rows, flexible=("URL", "Directory"))
    if problem is not None:
        raise problem
    if retry:
        logger.info("Nothing is left to upload" if not found else "What is left is still in use")


def _described(item: Output, in_use: bool) -> dict[str, Any]:
    waiting = item.waiting()
    return {
        "url": item.shown_url,
        "directory": str(item.directory),
        "files": len(waiting),
        "size": sum(waiting.values()),
        "state": "in use" if in_use else "left behind",
    }
