"""What a run's directory says about the run itself: `logs/run.json`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tesseract_core.runtime.file_interactions import replace_file
from tesseract_core.runtime.mpa.directory import RunDirectory, held


class RunRecord:
    """Writes `run.json` at the end of a run that has a directory; a run without one gets none because of it.

    The file holds `run_id` (null for a single command), `endpoint` (null outside of one), `started` (local, ISO 8601),
    `seconds` and `status` (`succeeded` or `failed`); if the process died, `reason` says how (`record_death`). While the
    run goes on there is no such file.

    Args:
        directory: The run's.
        endpoint: What is called.
    """

    def __init__(self, directory: RunDirectory, endpoint: str | None) -> None:
        self._directory = directory
        self._start = time.monotonic()
        self._content: dict[str, str | float | None] = {
            "run_id": _run_id(directory.path),
            "endpoint": endpoint,
            "started": datetime.now().isoformat(timespec="seconds"),
        }
        self.end(succeeded=False)  # unless somebody knows better
        directory.on_create(_forget)

    def end(self, succeeded: bool) -> None:
        """Take the time; what follows (sending what is left of metrics) is not the run's own."""
        self._content["seconds"] = round(time.monotonic() - self._start, 6)
        self._content["status"] = "succeeded" if succeeded else "failed"

    def write(self) -> None:
        """Write the file in one step. A failure is reported on stderr: it is no reason to lose a result."""
        if not self._directory.exists:
            return
        logs = self._directory.path / "logs"
        try:
            _write(logs, self._content)
        except OSError as error:
            print(f"the run could not be recorded in {logs}: {error}", file=sys.stderr)


def record_death(
    run: Path, endpoint: str, started: float, reason: str, last_words: bytes, *, make: bool = False
) -> None:
    """Record a run whose process died before its end, if it has a directory, and no other run has begun in it.

    Args:
        run: The run's directory.
        endpoint: What was called.
        started: In seconds since the epoch.
        reason: How the process died.
        last_words: What it had printed when it died, for its log.
        make: Make the directory if there is none: the run had begun, but put nothing into it.
    """
    content: dict[str, str | float | None] = {
        "run_id": _run_id(run),
        "endpoint": endpoint,
        "started": datetime.fromtimestamp(started).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 6),
        "status": "failed",
        "reason": reason,
    }
    try:
        if make:
            (run / "logs").mkdir(parents=True, exist_ok=True)
        with held(run):
            if not (run / "logs").is_dir() or _is_of_an_earlier_run(run / "logs/run.json", started):
                return  # this one had not got so far
            with (run / "logs/tesseract.log").open("ab") as log:
                log.write(last_words)
            _write(run / "logs", content)
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        print(f"the run could not be recorded in {run}: {error}", file=sys.stderr)


def _is_of_an_earlier_run(record: Path, started: float) -> bool:
    return record.exists() and record.stat().st_mtime < started


def _run_id(run: Path) -> str | None:
    return run.name.removeprefix("run_") if run.name.startswith("run_") else None


def _write(logs: Path, content: Mapping[str, str | float | None]) -> None:
    replace_file(logs / "run.json", f"{json.dumps(content)}\n".encode())


def _forget(logs: Path) -> None:
    (logs / "run.json").unlink(missing_ok=True)
