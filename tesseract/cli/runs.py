"""`tesseract runs`: what the runs below an output path have left, as a table, JSON or a plot."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tesseract.cli import output
from tesseract.cli.console import in_colour
from tesseract.cli.options import switch
from tesseract.errors import UsageError
from tesseract.runs.read import Run, read_runs


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
    found = read_runs(path)
    if plot or plot_file:
        _draw(found, metric, plot, plot_file)
    elif format == "json":
        output.print_json([_as_json(run) for run in found])
    else:
        headers = ["Run", "Started", "Endpoint", "Seconds", "Status", "Metrics", "Artifacts"]
        output.print_table(headers, [_as_row(run) for run in found])


def _draw(found: list[Run], metric: str | None, in_terminal: bool, file: Path | None) -> None:
    from tesseract.runs import plot

    key, drawn = plot.curves(found, metric)
    if file:
        plot.to_file(key, drawn, file)
    if in_terminal:
        size = shutil.get_terminal_size((80, 24))
        print(plot.to_terminal(key, drawn, size.columns, max(10, size.lines - 4), in_colour(sys.stdout)))


def _as_row(run: Run) -> list[str]:
    return [
        run.id,
        run.started,
        run.endpoint or "-",
        "-" if run.seconds is None else f"{run.seconds:.3f}",
        run.status or "-",
        ", ".join(f"{metric.key}={metric.last:g}" for metric in run.metrics) or "-",
        ", ".join(run.artifacts) or "-",
    ]


def _as_json(run: Run) -> dict[str, object]:
    # JSON has no word for what a diverging solver logs.
    metrics = [
        {"key": metric.key, "steps": metric.steps, "values": [v if math.isfinite(v) else None for v in metric.values]}
        for metric in run.metrics
    ]
    return {**asdict(run), "path": str(run.path), "metrics": metrics}
