"""`tesseract info`: which container engine is used, and why."""

from __future__ import annotations

from tesseract_core._version import __version__

from tesseract.cli import output
from tesseract.serving import lookup


def info(*, format: output.Format = "table") -> None:
    engine = lookup.engine().report()
    facts: dict[str, str | bool | None] = {
        "tesseract": __version__,
        "engine": engine.name,
        "version": engine.version,
        "rootless": engine.rootless,
        "endpoint": engine.endpoint,
        "chosen because": engine.why,
        "storage driver": engine.storage_driver,
        "network backend": engine.network_backend,
    }
    if format == "json":
        output.print_json({key.replace(" ", "_"): value for key, value in facts.items()})
        return
    output.print_table(["What", "Value"], [[key, _words(value)] for key, value in facts.items()], flexible=["Value"])


def _words(value: str | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value or "-"
