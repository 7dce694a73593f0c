"""Read the directories of runs.

A run's directory holds `logs/tesseract.log`, `metrics.csv` (timestamp, key, value, step), `parameters.json`,
`artifacts/` and `run.json` (endpoint, start, duration, status). A server makes one `run_<id>` per request below its
output path; a single command uses the output path itself.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tesseract.errors import InvalidValue


@dataclass(frozen=True)
class Metric:
    """The history of one metric: steps and values in the order in which they were logged."""

    key: str
    steps: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        return self.values[-1]


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        id: What the client or the server named it; `-` for the run of a single command.
        started: When, in local time, ISO 8601.
        endpoint: What was called, or None where it is not recorded.
        seconds: How long it took, or None.
        status: `succeeded`, `failed`, `running`, or None where it is not recorded.
    """

    id: str
    path: Path
    started: str
    endpoint: str | None = None
    seconds: float | None = None
    status: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    artifacts: tuple[str, ...] = ()


def read_runs(output_path: Path) -> list[Run]:
    """The runs at and directly below `output_path`, oldest first.

    Raises:
        InvalidValue: There is no such directory.
    """
    if not output_path.is_dir():
        raise InvalidValue(f"'{output_path}' is not a directory. Give the output path of a Tesseract.")
    places = [output_path, *sorted(output_path.glob("run_*"))]
    return sorted((_read(place) for place in places if os.path.isdir(place / "logs")), key=lambda run: run.started)


def _read(place: Path) -> Run:
    logs = place / "logs"
    record = _json(logs / "run.json")
    started = record.get("started") or datetime.fromtimestamp(logs.stat().st_mtime).isoformat(timespec="seconds")
    seconds = record.get("seconds")
    return Run(
        id=place.name.removeprefix("run_") if place.name.startswith("run_") else "-",
        path=place,
        started=str(started),
        endpoint=record.get("endpoint"),
        seconds=seconds if isinstance(seconds, int | float) else None,
        status=record.get("status"),
        parameters=_json(logs / "parameters.json"),
        metrics=tuple(_metrics(logs / "metrics.csv")),
        artifacts=tuple(_names(logs / "artifacts")),
    )


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _metrics(path: Path) -> Iterator[Metric]:
    histories: dict[str, list[tuple[float, float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as lines:
            for row in csv.DictReader(lines):
                try:
                    point = float(row["step"]), float(row["value"])
                except (KeyError, TypeError, ValueError):  # a line that is being written at this moment
                    continue
                histories.setdefault(row["key"], []).append(point)
    except (OSError, csv.Error):  # what could be read is worth more than nothing
        pass
    for key, points in histories.items():
        yield Metric(key, tuple(step for step, _ in points), tuple(value for _, value in points))
