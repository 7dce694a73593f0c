"""Draw a metric's history: in the terminal, or as a PNG or SVG file."""

from __future__ import annotations

import logging
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tesseract.errors import InvalidValue, UserError
from tesseract.runs.metrics import Metric, thinned
from tesseract.runs.read import Run
from tesseract.runs.table import short

logger = logging.getLogger("tesseract")

FILE_TYPES = (".png", ".svg")
MOST_CURVES = 50
_MOST_POINTS = 50_000  # of all curves
_LARGEST = 1e150  # plotting squares values and their distances
Curve = tuple[str, Metric]


def curves(runs: Sequence[Run], key: str | None) -> tuple[str, list[Curve]]:
    """One curve per run that has logged the metric, of the values that can be drawn; a warning names the others.

    Args:
        runs: Oldest first.
        key: Name of the metric; None where only one was ever logged.

    Raises:
        InvalidValue: No such metric, or more than one to choose from, or nothing of it can be drawn.
    """
    known = sorted({metric.key for run in runs for metric in run.metrics})
    if not known:
        raise InvalidValue("No run has logged a metric. Use log_metric(key, value) in an endpoint.")
    if key is None:
        if len(known) > 1:
            raise InvalidValue(f"There is more than one metric: name one with --metric ({_names(known)}).")
        key = known[0]
    if key not in known:
        raise InvalidValue(f"No run has logged the metric '{short(key)}'. There are: {_names(known)}.")
    shown = short(key)
    logged = [(short(run.id), metric) for run in runs for metric in run.metrics if metric.key == key]
    drawn = []
    for label, metric in logged:
        fit, rest = _drawable(metric)
        if rest:
            _warn_about(shown, label, rest)
        if fit.steps:
            drawn.append((label, fit))
    if not drawn:
        raise InvalidValue(f"No value of the metric '{shown}' can be drawn. See --format json for what was logged.")
    if len(drawn) > MOST_CURVES:
        logger.warning("%s runs are not drawn, only the latest %s", len(drawn) - MOST_CURVES, MOST_CURVES)
    drawn = drawn[-MOST_CURVES:]
    return shown, [(label, thinned(metric, _MOST_POINTS // len(drawn))) for label, metric in drawn]


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
    lines = [axes.plot(m.steps, m.values, marker="." if len(m.steps) < 50 else "")[0] for _, m in drawn]
    axes.set_xlabel("step")
    axes.set_ylabel(key, parse_math=False)
    axes.grid(alpha=0.3)
    if len(drawn) > 1:
        for text in axes.legend(lines, [label for label, _ in drawn]).get_texts():
            text.set_parse_math(False)
    try:
        figure.savefig(path)
    except OSError as problem:
        raise UserError(f"The plot could not be written to '{path}': {problem.strerror}.") from problem


def _drawable(metric: Metric) -> tuple[Metric, list[tuple[float, float]]]:
    """The part of a history that can be drawn, and the rest as pairs of step and value."""
    fit, rest = Metric(metric.key, array("d"), array("d")), []
    for step, value in zip(metric.steps, metric.values, strict=True):
        if abs(step) <= _LARGEST and abs(value) <= _LARGEST:
            fit.steps.append(step)
            fit.values.append(value)
        else:
            rest.append((step, value))
    return fit, rest


def _warn_about(key: str, label: str, rest: Sequence[tuple[float, float]]) -> None:
    where = key if label == "-" else f"{key} of run {label}"
    some = ", ".join(f"{value:g} at step {step:g}" for step, value in rest[:3]) + (", …" if len(rest) > 3 else "")
    logger.warning("Not drawn of %s, as too large or not finite: %s (%s in all)", where, some, len(rest))


def _names(known: Sequence[str]) -> str:
    shown = [short(key) for key in known[:20]]
    return ", ".join([*shown, *([f"… {len(known) - 20} more"] if len(known) > 20 else [])])


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"Plots need {name}. Install it: pip install 'tesseract-core[plot]'.") from None
