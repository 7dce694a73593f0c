"""`tesseract list`: the Tesseract images of the store."""

from __future__ import annotations

from tesseract.cli import output
from tesseract.cli.tables import brief
from tesseract.serving import listing


def list_images(*, format: output.Format = "table") -> None:
    rows = listing.images()
    if format == "json":
        output.print_json(
            [
                {
                    "id": row.id,
                    "name": row.name,
                    "tags": list(row.tags),
                    "version": row.version,
                    "description": row.description,
                    "size": row.size,
                    "mapped_size": row.mapped_size,
                }
                for row in rows
            ]
        )
        return
    output.print_table(
        ["ID", "Tags", "Name", "Version", "Size", "Mapped", "Description"],
        [
            [
                row.short_id,
                ", ".join(row.tags),
                row.name,
                row.version,
                output.human_size(row.size),
                output.human_size(row.mapped_size),
                brief(row.description),
            ]
            for row in rows
        ],
        flexible=("Tags", "Name", "Version", "Description"),
        droppable=("Mapped", "Description"),
    )
