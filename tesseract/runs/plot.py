"""Draw a metric's history: in the terminal, or as a PNG or SVG file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tesseract.errors import InvalidValue, UserError
from tesseract.runs.read import Metric, Run

FILE_TYPES = (".png", ".svg")
Curve = tuple[str, Metric]


def curves(runs: Sequence[Run], key: str | None) -> tuple[str, list[Curve]]:
    """One curve per run that has logged the metric.

    Args:
        key: Name of the metric; None where only one was ever logged.

    Raises:
        InvalidValue: No such metric, or more than one to choose from.
    """
    known = sorted({metric.key for run in runs for metric in run.metrics})
    if not known:
        raise InvalidValue("No run has logged a metric. Use log_metric(key, value) in an endpoint.")
    if key is None:
        if len(known) > 1:
            raise InvalidValue(f"There is more than one metric: name one with --metric ({', '.join(known)}).")
        key = known[0]
    if key not in known:
        raise InvalidValue(f"No run has logged the metric '{key}'. There are: {', '.join(known)}.")
    return key, [(run.id, metric) for run in runs for metric in run.metrics if metric.key == key]


def to_terminal(key: str, drawn: Sequence[Curve], width: int, height: int, colour: bool) -> str:
    """The curves as text of `width` by `height` characters."""
    plotext = _library("plotext")
    plotext.clear_figure()
    plotext.plotsize(width, height)
    for label, metric in drawn:
        plotext.plot(list(metric.steps), list(metric.values), label=label if len(drawn) > 1 else None, marker="braille")
    plotext.title(key)
    plotext.xlabel("step")
    text = str(plotext.build())
    return text if colour else str(plotext.uncolorize(text))


def to_file(key: str, drawn: Sequence[Curve], path: Path) -> None:
    """The curves as a PNG or SVG file, by the name's ending. Raises: InvalidValue for another ending."""
    if path.suffix.lower() not in FILE_TYPES:
        raise InvalidValue(f"'{path}' must end in {' or '.join(FILE_TYPES)}.")
    os.environ.setdefault("MPLBACKEND", "Agg")
    _library("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for label, metric in drawn:
        axes.plot(metric.steps, metric.values, marker="." if len(metric.steps) < 50 else "", label=label)
    axes.set(xlabel="step", ylabel=key)
    axes.grid(alpha=0.3)
    if len(drawn) > 1:
        axes.legend()
    try:
        figure.savefig(path)
    except OSError as problem:
        raise UserError(f"The plot could not be written to '{path}': {problem.strerror}.") from problem


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"Plots need {name}. Install it: pip install 'tesseract-core[plot]'.") from None
