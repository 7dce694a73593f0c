"""`tesseract logs`: what a Tesseract has written."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from tesseract.cli.options import switch
from tesseract.serving import lookup


def logs(
    name: Annotated[str, Parameter(help="Name or id of the container, as `tesseract ps` shows it.")],
    /,
    *,
    follow: Annotated[
        bool,
        switch(name=["--follow", "-f"], help="Go on until the Tesseract ends or you press Ctrl-C."),
    ] = False,
) -> None:
    backend = lookup.engine()
    container = lookup.find_container(backend, name)
    chunks = backend.follow_logs(container.id) if follow else [backend.logs(container.id)]
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
