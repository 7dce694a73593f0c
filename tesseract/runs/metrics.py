"""The histories of a run's metrics: `metrics.csv`, which a container wrote."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_KEYS = 1000
"""Metrics of one run; more are no metrics of a person's."""


@dataclass(frozen=True)
class Metric:
    """The history of one metric: steps and values in the order in which they were logged, at least one."""

    key: str
    steps: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))

    @property
    def last(self) -> float:
        return self.values[-1]

    @property
    def minimum(self) -> float:
        """The smallest value that is a number; NaN if none is."""
        return min((value for value in self.values if not math.isnan(value)), default=math.nan)


def parse_metrics(content: bytes, at_most: int, tell: Callable[[str], object]) -> list[Metric]:
    """The metrics in the text of a `metrics.csv`: a header that names `key`, `value` and `step`, then a row per value.

    Args:
        content: The file, which may be growing: a last line that is cut off is passed over.
        at_most: How many values are kept.
        tell: Called with what else is passed over.
    """
    whole, newline, _ = content.rpartition(b"\n")
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(whole + newline), encoding="utf-8", errors="replace", newline=""))
    found: dict[str, Metric] = {}
    odd = beyond = 0
    try:
        header = next(rows, [])
        if not header:
            return []
        if not {"key", "value", "step"} <= set(header):
            tell("not read: its first line does not name key, value and step")
            return []
        key_at, value_at, step_at = (header.index(name) for name in ("key", "value", "step"))
        for row in rows:
            try:
                key, step, value = row[key_at], float(row[step_at]), float(row[value_at])
            except (IndexError, ValueError):
                odd += 1
                continue
            if at_most == 0:
                tell("there are too many values in all; those from here on are left out")
                break
            if key not in found and len(found) == MOST_KEYS:
                beyond += 1
                continue
            at_most -= 1
            metric = found.setdefault(key, Metric(key))
            metric.steps.append(step)
            metric.values.append(value)
    except csv.Error as problem:  # what could be read is worth more than nothing
        tell(f"line {rows.line_num}: {problem}; what follows is left out")
    if odd:
        tell(f"{odd} {'lines are' if odd > 1 else 'line is'} no value of a metric")
    if beyond:
        tell(f"more than {MOST_KEYS} metrics; {beyond} values of the others are left out")
    return list(found.values())


def thinned(metric: Metric, at_most: int) -> Metric:
    """A history of at most so many points that looks the same: the smallest and largest value of each stretch."""
    there = len(metric.values)
    if there <= at_most:
        return metric
    stretch = -(-there // (at_most // 2))
    kept: list[int] = []
    for start in range(0, there, stretch):
        indices = range(start, min(start + stretch, there))
        kept += sorted({min(indices, key=metric.values.__getitem__), max(indices, key=metric.values.__getitem__)})
    return Metric(metric.key, array("d", (metric.steps[i] for i in kept)), array("d", (metric.values[i] for i in kept)))
