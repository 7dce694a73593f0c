"""Metrics, parameters and artifacts as files below a run's `logs/` directory."""

from __future__ import annotations

import csv
import json
import os
import shutil
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from tesseract_core.runtime.file_interactions import replace_file
from tesseract_core.runtime.mpa.backend import Backend, StepCounter, artifact_source
from tesseract_core.runtime.mpa.directory import RunDirectory


class FileBackend(Backend):
    """Writes `metrics.csv`, `parameters.json` and `artifacts/`.

    Their places are made together with the run's directory, which starts them afresh.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._steps = StepCounter()
        self._parameters: dict[str, Any] = {}
        self._metrics: IO[str] | None = None
        directory.on_create(self._prepare)

    def _prepare(self, logs: Path) -> None:
        (logs / "artifacts").mkdir(exist_ok=True)
        (logs / "parameters.json").unlink(missing_ok=True)
        # Line-buffered: whoever watches the file sees each value when it is logged.
        self._metrics = (logs / "metrics.csv").open("w", encoding="utf-8", buffering=1, newline="")
        self._metrics.write("timestamp,key,value,step\n")

    def log_parameter(self, key: str, value: Any) -> None:
        try:
            # What it is now, whatever becomes of it later.
            value = json.loads(json.dumps(value, default=str))
        except (TypeError, ValueError):  # keys that JSON has not, or circles
            value = str(value)
        self._parameters[key] = value
        text = json.dumps(self._parameters, indent=2)
        replace_file(self._directory.create() / "parameters.json", text.encode())

    def log_metric(self, key: str, value: float, step: int | None) -> None:
        self.write_metric(key, float(value), self._steps.number(key, step), datetime.now())

    def write_metric(self, key: str, value: float, step: int, time: datetime) -> None:
        """Append one row; `time` is local and naive."""
        self._directory.create()
        assert self._metrics is not None
        row = (time.isoformat(timespec="microseconds"), key, value, step)
        csv.writer(self._metrics, lineterminator="\n").writerow(row)

    def log_artifact(self, local_path: str | os.PathLike[str]) -> None:
        source = artifact_source(local_path)
        copy_artifact(source, self._directory.create() / "artifacts" / source.name)

    def close(self, succeeded: bool) -> None:
        if self._metrics is not None:
            with suppress(OSError):  # a full disk: whoever logged what is left in the buffer has been told
                self._metrics.close()

    def discard_empty(self) -> None:
        """After `close`: remove the places of what was not logged in the end."""
        logs = self._directory.create()
        with suppress(OSError):  # something is in it
            (logs / "artifacts").rmdir()
        (logs / "metrics.csv").unlink(missing_ok=True)


def copy_artifact(source: Path, target: Path) -> None:
    """Copy a file or directory with its metadata; `target` is replaced in one step, and never half-written.

    Raises:
        ValueError: `source` contains `target`.
    """
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"the artifact {str(source)!r} contains the run's own artifacts; log something below it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".artifact-", dir=target.parent) as place:
        copy = Path(place) / "new"
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copy2(source, copy)
        if target.is_dir() or (source.is_dir() and target.exists()):
            target.rename(Path(place) / "old")
        copy.replace(target)
