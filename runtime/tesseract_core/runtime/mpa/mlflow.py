"""Metrics, parameters and artifacts in a run of an MLflow server.

MLflow's own client talks to the server, with its own patience, from a thread. A call waits for that no longer than
`mlflow_wait` seconds in all: at its start, when it logs an artifact, and at its end. What the server has not taken by
then is kept in the files that the run would have had without MLflow, and sent on while the process lives.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.mpa.backend import Backend, StepCounter, artifact_source
from tesseract_core.runtime.mpa.directory import RunDirectory
from tesseract_core.runtime.mpa.files import FileBackend
from tesseract_core.runtime.mpa.mlflow_artifacts import why_never
from tesseract_core.runtime.mpa.mlflow_run import RemoteRun
from tesseract_core.runtime.mpa.mlflow_server import (
    PASSWORD,
    USERNAME,
    find_server,
    forget_answer,
    require_connection,
)
from tesseract_core.runtime.mpa.outbox import Outbox, Rejected

R = TypeVar("R")

ARTIFACT_WAIT = 10.0  # seconds for which an artifact is waited for, which saves a copy of it

# What MLflow takes from the environment unless the operator has set it. The link to each run that it prints would be
# output of the user's code.
_DEFAULTS = {"GIT_PYTHON_REFRESH": "quiet", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}


@dataclass(frozen=True)
class _Metric:
    key: str
    value: float
    step: int
    time: float  # seconds since the epoch


@dataclass(frozen=True)
class _Parameter:
    key: str
    value: Any


@dataclass(eq=False)
class _Artifact:
    source: Path
    copy: Path | None = None  # made when the run goes on before it is sent


_Item = _Metric | _Parameter | _Artifact


class MlflowBackend(Backend):
    """Starts an MLflow run.

    Raises:
        ValueError: `mlflow_tracking_uri` is no URI of an MLflow server.
        RuntimeError: The server cannot be used: credentials incomplete, no connection, or it refuses the run.
    """

    def __init__(self, directory: RunDirectory) -> None:
        config = get_config()
        self._server = server = find_server(config.mlflow_tracking_uri)
        require_connection(server)
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        if server.username:
            os.environ.update({USERNAME: server.username, PASSWORD: server.password})
        import mlflow

        mlflow.set_tracking_uri(server.uri)
        self._directory = directory
        self._left = config.mlflow_wait
        self._artifact_wait = ARTIFACT_WAIT
        self._files: FileBackend | None = None
        self._steps = StepCounter()
        self._copied: list[_Artifact] = []
        self._run = RemoteRun(server, directory.path.name, config.mlflow_run_extra_args)
        self._outbox: Outbox[_Item] = Outbox(self._run.start, self._send, lambda item: isinstance(item, _Artifact))
        self._wait(self._outbox.wait_open)
        if self._outbox.failed is not None:
            forget_answer(server)
            raise self._run.refusal(self._outbox.failed) from None
        self._run.activate()

    def log_parameter(self, key: str, value: Any) -> None:
        self._outbox.put(_Parameter(key, value))

    def log_metric(self, key: str, value: float, step: int | None) -> None:
        self._outbox.put(_Metric(key, float(value), self._steps.number(key, step), time.time()))

    def log_artifact(self, local_path: str | os.PathLike[str]) -> None:
        item = _Artifact(artifact_source(local_path))
        if self._left > 0 and self._artifact_wait > 0:
            self._outbox.put(item)
            if self._wait(lambda timeout: self._outbox.wait_sent(item, timeout), self._artifact_wait):
                return
            self._artifact_wait = 0.0
            self._copy(item)
        else:
            self._copy(item)
            self._outbox.put(item)

    def close(self, succeeded: bool) -> None:
        self._run.deactivate()
        problem: list[BaseException] = []

        def end() -> None:
            try:
                self._run.end("FINISHED" if succeeded else "FAILED")
            except Exception as error:
                problem.append(error)

        refused, unanswered = self._wait(lambda timeout: self._outbox.close(end, timeout))
        if self._outbox.failed is not None and not refused:
            self._warn(f"has not started this run: {self._server.quote(self._outbox.failed)}")
        self._remove_copies(refused + unanswered)
        if refused:
            self._keep(refused, "did not take", self._server.quote(self._outbox.error))
        if unanswered:
            waited = f"not done within {get_config().mlflow_wait:g} s; they are sent on while this process lives"
            self._keep(unanswered, "has not yet taken", waited)
        if problem:
            forget_answer(self._server)
            self._warn(f"could not be told that the run has ended: {self._server.quote(problem[0])}")
        elif not self._outbox.ended and not unanswered:
            self._warn("has not yet confirmed that the run has ended")
        if self._files is not None:
            self._files.close(succeeded)
            if not refused and not unanswered:
                self._files.discard_empty()

    def _wait(self, wait: Callable[[float], R], at_most: float = math.inf) -> R:
        """Call `wait` with the seconds that are left of the call's patience, and take off what it took."""
        began = time.monotonic()
        try:
            return wait(max(0.0, min(self._left, at_most)))
        finally:
            self._left -= time.monotonic() - began

    @property
    def _kept(self) -> FileBackend:
        if self._files is None:
            self._files = FileBackend(self._directory)
        return self._files

    def _copy(self, item: _Artifact) -> None:
        """Keep a copy: the original may be gone or changed when its turn comes."""
        self._kept.log_artifact(item.source)
        item.copy = self._directory.create() / "artifacts" / item.source.name
        self._copied.append(item)

    def _remove_copies(self, left: list[_Item]) -> None:
        """Remove the copies of what has arrived, unless something else of that name has not."""
        needed = {item.copy for item in left if isinstance(item, _Artifact)}
        for copy in {item.copy for item in self._copied} - needed:
            if copy is not None:
                _remove(copy)

    def _send(self, batch: list[_Item]) -> None:
        if isinstance(batch[0], _Artifact):
            if (why := why_never(self._run.artifact_uri)) is not None:
                raise Rejected(why)
            self._upload(batch[0])
            return
        metrics = [(m.key, m.value, int(m.time * 1000), m.step) for m in batch if isinstance(m, _Metric)]
        params = [(p.key, str(p.value)) for p in batch if isinstance(p, _Parameter)]
        self._run.log(metrics, params)

    def _upload(self, item: _Artifact) -> None:
        began_with = item.copy or item.source
        try:
            self._run.upload(began_with)
        except FileNotFoundError:  # the run has gone on meanwhile
            if item.copy is None or item.copy == began_with:
                raise
            self._run.upload(item.copy)

    def _keep(self, items: list[_Item], verb: str, reason: str) -> None:
        """Write to files what the server does not have, and say where."""
        forget_answer(self._server)
        names = {_Metric: "metric", _Parameter: "parameter", _Artifact: "artifact"}
        kinds = Counter(names[type(item)] for item in sorted(items, key=lambda item: list(names).index(type(item))))
        what = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())
        try:
            for item in items:
                if isinstance(item, _Metric):
                    self._kept.write_metric(item.key, item.value, item.step, datetime.fromtimestamp(item.time))
                elif isinstance(item, _Parameter):
                    self._kept.log_parameter(item.key, item.value)
            place = f"kept in {self._directory.create()}"
        except OSError as error:
            place = f"lost, as they cannot be kept in {self._directory.path} either: {error}"
        self._warn(f"{verb} {what} of this run; {place} ({reason})")

    def _warn(self, text: str) -> None:
        print(f"warning: the MLflow server at {self._server.uri} {text}", file=sys.stderr)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
