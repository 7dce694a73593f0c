"""Read the directories of runs.

A run's directory holds `logs/tesseract.log`, `metrics.csv` (timestamp, key, value, step), `parameters.json`,
`artifacts/` and `run.json` (endpoint, start, duration, status). A server makes one `run_<id>` per request below its
output path; a single command uses the output path itself. All of it was written by containers, and may be anything.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tesseract_core.untrusted import Told, listed, open_regular, read_regular, what_it_is

from tesseract.errors import InvalidValue
from tesseract.runs.metrics import Metric, parse_metrics

MOST_RUNS = 50_000
_MOST_ENTRIES = 200_000  # of an output path
_MOST_ARTIFACTS = 1000
_MOST_JSON = 1_000_000  # bytes
_MOST_METRICS = 64_000_000  # bytes of one run
_MOST_METRICS_IN_ALL = 512_000_000
_MOST_VALUES_IN_ALL = 10_000_000
_DEEPEST_JSON = 32


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        id: What the client or the server named it; `-` for the run of a single command.
        started: When, in local time, ISO 8601.
        endpoint: What was called, or None where it is not recorded.
        seconds: How long it took, or None.
        status: `succeeded`, `failed`, …, or None where it is not recorded: it goes on, or was killed.
        reason: How its process died, if it did.
        parameters: JSON values, NaN and infinities among them.
    """

    id: str
    path: Path
    started: str
    endpoint: str | None = None
    seconds: float | None = None
    status: str | None = None
    reason: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    artifacts: tuple[str, ...] = ()


def read_runs(output_path: Path, passed_over: Told = lambda name, why: None) -> list[Run]:
    """The runs at and directly below `output_path`, oldest first.

    Args:
        output_path: A directory that Tesseracts write to.
        passed_over: Told about each file that is not what it should be, and why it is not read.

    Raises:
        InvalidValue: There is no such directory, or it cannot be read.
    """
    if not output_path.is_dir():
        raise InvalidValue(f"'{output_path}' is not a directory. Give the output path of a Tesseract.")
    reader = _Reader(output_path, passed_over)
    try:
        found = [run for name in reader.places() if (run := reader.run(name)) is not None]
    except OSError as problem:
        raise InvalidValue(f"'{output_path}' cannot be read: {problem.strerror}. Check its permissions.") from problem
    return sorted(found, key=lambda run: run.started)


class _Reader:
    """Reads the runs of one output path, within one budget."""

    def __init__(self, root: Path, passed_over: Told) -> None:
        self._root = root
        self._passed_over = passed_over
        self._left = _MOST_METRICS_IN_ALL
        self._values_left = _MOST_VALUES_IN_ALL

    def places(self) -> Iterator[str]:
        """Where runs may be, relative to the output path; empty for the output path itself."""
        yield ""
        runs = []
        for entry in listed(self._root, "", _MOST_ENTRIES, self._passed_over):
            if entry.name.startswith("run_"):
                if entry.is_directory:
                    runs.append(entry)
                else:
                    self._passed_over(entry.name, f"not read: {what_it_is(entry.state)}")
        if len(runs) > MOST_RUNS:
            self._passed_over(".", f"{len(runs):,} runs, of which the latest {MOST_RUNS:,} are read")
            runs = sorted(runs, key=lambda entry: entry.state.st_mtime)[-MOST_RUNS:]
        yield from (entry.name for entry in runs)

    def run(self, name: str) -> Run | None:
        """The run in a directory, None if there is none; what is wrong in it hides nothing else."""
        logs = f"{name}/logs" if name else "logs"
        try:
            listed(self._root, logs, 0)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as problem:
            self._passed_over(logs, f"not read: {problem.strerror}")
            return None
        record = self._json(f"{logs}/run.json")
        tell = partial(self._passed_over, f"{logs}/run.json")
        return Run(
            id=name.removeprefix("run_") or "-",
            path=self._root / name,
            started=_time(record, tell) or _last_change(self._root / logs),
            endpoint=_text(record, "endpoint", tell),
            seconds=_number(record, "seconds", tell),
            status=_text(record, "status", tell),
            reason=_text(record, "reason", tell),
            parameters=self._json(f"{logs}/parameters.json"),
            metrics=tuple(self._metrics(f"{logs}/metrics.csv")),
            artifacts=tuple(self._names(f"{logs}/artifacts")),
        )

    def _names(self, directory: str) -> list[str]:
        try:
            entries = listed(self._root, directory, _MOST_ARTIFACTS, self._passed_over)
        except FileNotFoundError:
            return []
        except OSError as problem:
            self._passed_over(directory, f"not read: {problem.strerror}")
            return []
        return [entry.name.rpartition("/")[2] for entry in entries]

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(read_regular(self._root, name, _MOST_JSON))
        except FileNotFoundError:
            pass
        except OSError as problem:
            self._passed_over(name, f"not read: {problem.strerror}")
        except (ValueError, RecursionError):
            self._passed_over(name, "not read: not valid JSON")
        else:
            if isinstance(found, dict) and _is_flat_enough(found):
                return found
            self._passed_over(
                name, f"not read: {'not a JSON object' if not isinstance(found, dict) else 'nested too deeply'}"
            )
        return {}

    def _metrics(self, name: str) -> list[Metric]:
        tell = partial(self._passed_over, name)
        at_most = min(_MOST_METRICS, self._left)
        try:
            with open_regular(self._root, name) as file:
                content = file.read(at_most)
                more = bool(file.read(1))
        except FileNotFoundError:
            return []
        except OSError as problem:
            tell(f"not read: {problem.strerror}")
            return []
        self._left -= len(content)
        if more:
            tell(f"only its first {at_most:,} bytes are read" if at_most else "not read: too much in all")
        metrics = parse_metrics(content, self._values_left, tell)
        self._values_left -= sum(len(metric.values) for metric in metrics)
        return metrics


def _is_flat_enough(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST_JSON):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return not level


def _text(record: dict[str, Any], key: str, tell: Callable[[str], object]) -> str | None:
    value = record.get(key)
    if value is None or isinstance(value, str):
        return value
    tell(f"its '{key}' is not a text")
    return None


def _number(record: dict[str, Any], key: str, tell: Callable[[str], object]) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(number := float(value)):
                return number
    tell(f"its '{key}' is not a number")
    return None


def _time(record: dict[str, Any], tell: Callable[[str], object]) -> str | None:
    value = _text(record, "started", tell)
    if value is not None:
        try:
            datetime.fromisoformat(value)
        except ValueError:
            tell("its 'started' is not a time")
            return None
    return value


def _last_change(path: Path) -> str:
    try:
        return datetime.fromtimestamp(path.lstat().st_mtime).isoformat(timespec="seconds")
    except (OSError, OverflowError, ValueError):  # a container may give its files any time
        return datetime.fromtimestamp(0).isoformat()
