"""`tesseract teardown`: remove served Tesseracts."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from tesseract import serving
from tesseract.cli.console import logger
from tesseract.cli.options import switch
from tesseract.errors import UsageError


def teardown(
    *names: Annotated[str, Parameter(help="Names or ids of containers, as `tesseract ps` shows them.")],
    all: Annotated[bool, switch(help="All that you have served, stopped ones included.")] = False,
    orphaned: Annotated[
        bool, switch(help="Those whose program (SDK, run, apidoc) is gone without removing them.")
    ] = False,
) -> None:
    if not (names or all or orphaned):
        raise UsageError("Either container names or --all flag must be provided")
    if (bool(names), all, orphaned).count(True) > 1:
        raise UsageError("Either container names or --all flag must be provided, but not both")
    if not serving.teardown(names, all=all, orphaned=orphaned):
        logger.info("No Tesseract containers to tear down")
