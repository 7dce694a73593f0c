"""`tesseract prune`: remove what was left behind and what can be made again."""

from __future__ import annotations

from typing import Annotated

from tesseract import pruning
from tesseract.cli import output
from tesseract.cli.console import logger
from tesseract.cli.options import switch
from tesseract.errors import NotFound, UserError


def prune(
    *,
    dry_run: Annotated[bool, switch(help="Show what would go, and stop.")] = False,
    format: output.Format = "table",
) -> None:
    found, failed = [], []
    for item in pruning.find():
        found.append(item)
        if not dry_run:
            try:
                item.remove()
            except (NotFound, FileNotFoundError):
                found.pop()  # somebody else has removed it: another `prune`, or a build
            except (UserError, OSError) as error:
                logger.warning("The %s %s could not be removed: %s", item.kind, item.name, error)
                failed.append(item)
    if format == "json":
        state = "found" if dry_run else "removed"
        output.print_json(
            [
                {"kind": item.kind, "name": item.name, "size": item.size, "state": "kept" if item in failed else state}
                for item in found
            ]
        )
    elif found:
        rows = [[item.kind, "-" if item.size is None else output.human_size(item.size), item.name] for item in found]
        output.print_table(["Kind", "Size", "Name"], rows)
    freed = sum(item.size or 0 for item in found if item not in failed)
    logger.info("%s %s", "To be freed:" if dry_run else "Freed", output.human_size(freed) if found else "nothing")
