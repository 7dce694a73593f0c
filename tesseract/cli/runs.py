"""`tesseract runs`: what the runs below an output path have left, as a table, JSON or a plot."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from tesseract_core.visible import visible

from tesseract.cli import output
from tesseract.cli.console import in_colour, logger
from tesseract.cli.options import switch
from tesseract.errors import UsageError
from tesseract.runs.read import Run, read_runs
from tesseract.runs.table import table

_MOST_WARNINGS = 20


def runs(
    path: Annotated[Path, Parameter(help="Output path of a Tesseract.")] = Path(),
    /,
    *,
    plot: Annotated[bool, switch(help="Draw a metric in the terminal.")] = False,
    plot_file: Annotated[
        Path | None, Parameter(metavar="FILE", help="Draw a metric into this PNG or SVG file.")
    ] = None,
    metric: Annotated[
        str | None, Parameter(metavar="NAME", help="The metric to draw, if there is more than one.")
    ] = None,
    format: output.Format = "table",
) -> None:
    if metric and not (plot or plot_file):
        raise UsageError("--metric goes with --plot or --plot-file.")
    passed_over = _PassedOver()
    found = read_runs(path, passed_over.tell)
    passed_over.warn()
    if plot or plot_file:
        _draw(found, metric, plot, plot_file)
    elif format == "json":
        output.print_json([_as_json(run) for run in found])
    else:
        headers, rows, left_out = table(found)
        whole = ("Started", "Endpoint", "Seconds", "Status")
        output.print_table(headers, rows, flexible=[name for name in headers if name not in whole])
        if left_out:
            logger.warning("%s parameters have no column here; --format json has them", len(left_out))


class _PassedOver:
    """What was found that is not what a run leaves; a container may leave a million of them."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._more = 0

    def tell(self, name: str, why: str) -> None:
        if len(self._lines) < _MOST_WARNINGS:
            self._lines.append(f"{visible(name)}: {visible(why)}")
        else:
            self._more += 1

    def warn(self) -> None:
        for line in self._lines:
            logger.warning("%s", line)
        if self._more:
            logger.warning("… and %s more of this kind", self._more)


def _draw(found: list[Run], metric: str | None, in_terminal: bool, file: Path | None) -> None:
    from tesseract.runs import plot

    key, drawn = plot.curves(found, metric)
    if file:
        plot.to_file(key, drawn, file)
    if in_terminal:
        size = shutil.get_terminal_size((80, 24))
        print(plot.to_terminal(key, drawn, size.columns, max(10, size.lines - 4), in_colour(sys.stdout)))


def _as_json(run: Run) -> dict[str, object]:
    metrics = [
        {"key": metric.key, "steps": list(metric.steps), "values": list(metric.values)} for metric in run.metrics
    ]
    described = {**vars(run), "path": str(run.path), "metrics": metrics}
    return {name: _finite(value) for name, value in described.items()}


def _finite(value: Any) -> Any:
    """The same tree with null for NaN and infinities: JSON has no word for what a diverging solver logs."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value
