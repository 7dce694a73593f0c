"""Runs: a directory, a log, and somewhere for metrics, parameters and artifacts to go.

Within a run, `log_parameter`, `log_metric` and `log_artifact` go to files below the run's `logs/` directory, or to an
MLflow server where `mlflow_tracking_uri` is set.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.logs import Consumer, LogFile, capture_stdio, to_stderr
from tesseract_core.runtime.mpa.backend import Backend
from tesseract_core.runtime.mpa.directory import RunDirectory, prune_runs
from tesseract_core.runtime.mpa.files import FileBackend
from tesseract_core.runtime.mpa.record import RunRecord
from tesseract_core.runtime.paths import confine, safe_run_id

__all__ = ["Run", "log_artifact", "log_metric", "log_parameter", "serve_run", "start_run", "stream_run"]


class Run:
    """A run in progress.

    Attributes:
        directory: Where its files go; need not exist (see `RunDirectory`).
        backend: Where its metrics, parameters and artifacts go.
    """

    def __init__(self, directory: RunDirectory, backend: Backend) -> None:
        self.directory = directory
        self.backend = backend
        self.succeeded = True

    def fail(self) -> None:
        """Mark the run as failed, where the exception does not leave the `with` block by itself."""
        self.succeeded = False


_current: ContextVar[Run | None] = ContextVar("tesseract_run", default=None)
_active: list[Run] = []


def _current_run() -> Run:
    run = _current.get()
    if run is None and len(_active) == 1:
        # A thread that user code started: it has no context of its own, and can only mean the one run there is.
        run = _active[0]
    if run is None:
        raise RuntimeError("no active run; metrics, parameters and artifacts can be logged within an endpoint only")
    return run


def log_parameter(key: str, value: Any) -> None:
    """Log a parameter of the current run; a later value of the same key wins.

    Raises:
        RuntimeError: There is no active run.
    """
    _current_run().backend.log_parameter(key, value)


def log_metric(key: str, value: float, step: int | None = None) -> None:
    """Log one value of a metric of the current run.

    Args:
        key: Name of the metric.
        value: Its value.
        step: Position in the metric's history; by default how many values this run has logged of it so far.

    Raises:
        RuntimeError: There is no active run.
    """
    _current_run().backend.log_metric(key, value, step)


def log_artifact(local_path: str | os.PathLike[str]) -> None:
    """Keep a copy of a file or directory with the current run, under its base name.

    Raises:
        RuntimeError: There is no active run.
        FileNotFoundError: There is no such file.
    """
    _current_run().backend.log_artifact(local_path)


@contextmanager
def start_run(
    base_dir: str | os.PathLike[str] | None = None,
    log_sink: Callable[[str], Any] | None = None,
    endpoint: str | None = None,
) -> Iterator[Run]:
    """Open a run in this process.

    Args:
        base_dir: The run's directory; `output_path` of the configuration by default.
        log_sink: Called with each line that the run prints, without its newline. All lines have been delivered when
            the block is left.
        endpoint: What is called, for the run's record.

    Raises:
        RuntimeError: The MLflow server that the configuration names cannot be used.
    """
    directory = RunDirectory(Path(base_dir or get_config().output_path))
    directory.create()
    with _run(directory, endpoint, sink=log_sink) as run:
        yield run


@contextmanager
def stream_run(endpoint: str | None = None) -> Iterator[Run]:
    """The run of a command: `output_path` is its directory, and its output appears on stderr as it comes."""
    directory = RunDirectory(Path(get_config().output_path))
    directory.create()
    with _run(directory, endpoint, live=to_stderr()) as run:
        yield run


@contextmanager
def serve_run(run_id: str, named: bool, endpoint: str | None = None) -> Iterator[Run]:
    """The run of a request: directory `run_<id>` below `output_path`, output on stderr behind `[run <id>]`.

    Args:
        run_id: One safe path component.
        named: The client chose the id. The directory is then made at once, and a run of the same id that is in
            progress, in any process, is waited for. Otherwise it appears when there is something to put into it.
        endpoint: What is called, for the run's record.

    Raises:
        ValueError: `run_id` is no safe path component.
        RuntimeError: The MLflow server that the configuration names cannot be used.
    """
    config = get_config()
    path = confine(f"run_{safe_run_id(run_id)}", config.output_path, what="run id")
    with RunDirectory(path, locked=True) as directory:
        if named:
            directory.create()
        with _run(directory, endpoint, live=to_stderr(f"[run {run_id}] ".encode())) as run:
            yield run
    if config.max_runs:
        prune_runs(path.parent, keep=config.max_runs)


@contextmanager
def _run(
    directory: RunDirectory,
    endpoint: str | None,
    live: Callable[[int], Consumer] | None = None,
    sink: Callable[[str], Any] | None = None,
) -> Iterator[Run]:
    with ExitStack() as stack:
        record = RunRecord(directory, endpoint)
        stack.callback(record.write)
        backend = _make_backend(directory)
        log = LogFile(directory.log_path)
        stack.callback(_close_log, log)
        stack.enter_context(capture_stdio(log, live, sink))
        run = Run(directory, backend)
        token = _current.set(run)
        _active.append(run)
        try:
            yield run
        except BaseException:
            run.fail()
            raise
        finally:
            _active.remove(run)
            _current.reset(token)
            record.end(run.succeeded)
            backend.close(run.succeeded)


def _make_backend(directory: RunDirectory) -> Backend:
    if get_config().mlflow_tracking_uri:
        from tesseract_core.runtime.mpa.mlflow import MlflowBackend

        return MlflowBackend(directory)
    return FileBackend(directory)


def _close_log(log: LogFile) -> None:
    log.close()
    if log.error is not None:
        print(f"the run's log is incomplete: {log.error}", file=sys.stderr)
