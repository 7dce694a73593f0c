"""`tesseract ps`: the Tesseracts that run."""

from __future__ import annotations

from dataclasses import asdict

from tesseract.cli import output
from tesseract.cli.console import logger
from tesseract.cli.tables import brief
from tesseract.serving import listing, lookup


def ps(*, format: output.Format = "table") -> None:
    backend = lookup.engine()
    rows = listing.containers(backend)
    for name, how in listing.ended(backend).items():
        logger.warning("%s has ended (%s): see `tesseract logs %s`, then `tesseract teardown` it", name, how, name)
    if format == "json":
        output.print_json([asdict(row) for row in rows])
        return
    output.print_table(
        ["ID", "Name", "Version", "Host Address", "Container Name", "Owner", "Description"],
        [
            [
                row.id[:12],
                row.name,
                row.version,
                row.host_address,
                row.container_name,
                row.owner or "-",
                brief(row.description),
            ]
            for row in rows
        ],
        flexible=("Name", "Version", "Host Address", "Owner", "Description"),
        droppable=("ID", "Description", "Owner"),
    )
