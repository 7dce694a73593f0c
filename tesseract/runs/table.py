"""Runs as a table for people: a column per parameter, and each metric's last and smallest value."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from tesseract_core.visible import visible

from tesseract.runs.metrics import Metric
from tesseract.runs.read import Run

MOST_PARAMETERS = 8  # columns
_MOST_NAMES = 10  # in a cell
_WIDEST = 60  # characters of one text


def table(runs: Sequence[Run]) -> tuple[list[str], list[list[str]], list[str]]:
    """Headers, a row per run, and the parameters for which there is no column.

    Where there are more parameters than columns, those that differ between runs come first.
    """
    columns, left_out = _columns(runs)
    headers = ["Run", "Started", "Endpoint", "Seconds", "Status", *map(short, columns), "Metrics", "Artifacts"]
    return headers, [_row(run, columns) for run in runs], left_out


def _columns(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    values: dict[str, set[str]] = {}
    for run in runs:
        for key, value in run.parameters.items():
            values.setdefault(key, set()).add(_value(value))
    if len(values) <= MOST_PARAMETERS:
        return list(values), []
    by_interest = sorted(values, key=lambda key: len(values[key]) < 2)  # stable
    chosen = set(by_interest[:MOST_PARAMETERS])
    return [key for key in values if key in chosen], [key for key in values if key not in chosen]


def _row(run: Run, parameters: Sequence[str]) -> list[str]:
    return [
        short(run.id),
        short(run.started),
        short(run.endpoint or "-"),
        "-" if run.seconds is None else f"{run.seconds:.3f}" if abs(run.seconds) < 1e9 else f"{run.seconds:g}",
        short((run.status or "-") + (f": {run.reason}" if run.reason else "")),
        *(_value(run.parameters[key]) if key in run.parameters else "-" for key in parameters),
        _some([_metric(metric) for metric in run.metrics[:_MOST_NAMES]], len(run.metrics)),
        _some([short(name) for name in run.artifacts[:_MOST_NAMES]], len(run.artifacts)),
    ]


def _metric(metric: Metric) -> str:
    smallest = metric.minimum
    aside = f" (min {smallest:g})" if not math.isnan(smallest) and smallest != metric.last else ""
    return f"{short(metric.key)}={metric.last:g}{aside}"


def _value(value: Any) -> str:
    return short(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _some(shown: Sequence[str], there: int) -> str:
    more = [f"… {there - len(shown)} more"] if there > len(shown) else []
    return ", ".join([*shown, *more]) or "-"


def short(text: str) -> str:
    """A name or value that a container chose, in one line and not too long."""
    text = visible(text[: _WIDEST + 1])
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
