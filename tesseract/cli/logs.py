"""`tesseract logs`: what a Tesseract has written."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from tesseract.cli.options import switch
from tesseract.cli.output import RawOutput
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
    show = RawOutput()
    for chunk in chunks:
        show(chunk)
