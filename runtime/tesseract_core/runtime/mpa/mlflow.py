"""Metrics, parameters and artifacts in a run of an MLflow server.

The server must answer when the run starts. If it fails later, the run goes on: what could not be sent is tried again,
and finally kept in the files that the run would have had without MLflow.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tesseract_core.runtime.config import env_name, get_config
from tesseract_core.runtime.mpa.backend import Backend, StepCounter, artifact_source
from tesseract_core.runtime.mpa.directory import RunDirectory
from tesseract_core.runtime.mpa.files import FileBackend
from tesseract_core.runtime.mpa.mlflow_server import PASSWORD, USERNAME, find_server, forget_answer, require_answer
from tesseract_core.runtime.mpa.outbox import Outbox, Rejected

LAST_TRIES = 10.0  # seconds for which the end of a run waits for a server that has gone away

# What MLflow takes from the environment unless the operator has set it. Its own patience (minutes of retries within a
# call) would hold up the computation; the link to each run that it prints would be output of the user's code.
_DEFAULTS = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


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


class MlflowBackend(Backend):
    """Starts an MLflow run.

    Raises:
        ValueError: `mlflow_tracking_uri` is no URI of an MLflow server.
        RuntimeError: The server cannot be used: credentials incomplete, no answer, or it refuses the run.
    """

    def __init__(self, directory: RunDirectory) -> None:
        config = get_config()
        self._server = server = find_server(config.mlflow_tracking_uri)
        require_answer(server)
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        if server.username:
            os.environ.update({USERNAME: server.username, PASSWORD: server.password})
        import mlflow

        mlflow.set_tracking_uri(server.uri)
        arguments = {"nested": mlflow.active_run() is not None, **config.mlflow_run_extra_args}
        try:
            self._run_id: str = mlflow.start_run(**arguments).info.run_id
        except Exception as error:
            forget_answer(server)
            raise RuntimeError(
                f"no run could be started at the MLflow server {server.uri}: {server.redact(error)}; "
                f"check the server and {env_name('mlflow_run_extra_args')}"
            ) from None
        self._client = mlflow.MlflowClient(server.uri)
        self._directory = directory
        self._files: FileBackend | None = None
        self._steps = StepCounter()
        self._outbox: Outbox[_Metric | _Parameter] = Outbox(self._send)
        self._unsent_artifacts: list[Path] = []
        self._artifact_error: Exception | None = None

    def log_parameter(self, key: str, value: Any) -> None:
        self._outbox.put(_Parameter(key, value))

    def log_metric(self, key: str, value: float, step: int | None) -> None:
        self._outbox.put(_Metric(key, float(value), self._steps.number(key, step), time.time()))

    def log_artifact(self, local_path: str | os.PathLike[str]) -> None:
        source = artifact_source(local_path)
        try:
            self._upload(source)
        except Exception as error:
            self._artifact_error = error
            self._kept.log_artifact(source)  # a copy, because the original may be gone by the next attempt
            self._unsent_artifacts.append(self._directory.create() / "artifacts" / source.name)

    def close(self, succeeded: bool) -> None:
        import mlflow

        deadline = time.monotonic() + LAST_TRIES
        unsent = self._outbox.close(LAST_TRIES)
        artifacts = self._retry_artifacts(deadline)
        if unsent or artifacts:
            self._keep(unsent, artifacts)
        try:
            mlflow.end_run("FINISHED" if succeeded else "FAILED")
        except Exception as error:
            forget_answer(self._server)
            self._warn(f"could not be told that the run has ended: {self._server.redact(error)}")
        if self._files is not None:
            self._files.close(succeeded)

    @property
    def _kept(self) -> FileBackend:
        if self._files is None:
            self._files = FileBackend(self._directory)
        return self._files

    def _send(self, batch: list[_Metric | _Parameter]) -> None:
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        metrics = [Metric(m.key, m.value, int(m.time * 1000), m.step) for m in batch if isinstance(m, _Metric)]
        params = [Param(p.key, str(p.value)) for p in batch if isinstance(p, _Parameter)]
        try:
            # The server's limit is 100 parameters in one call.
            for start in range(0, max(len(params), 1), 100):
                self._client.log_batch(self._run_id, metrics=metrics, params=params[start : start + 100])
                metrics = []
        except MlflowException as error:
            status = error.get_http_status_code()
            if 400 <= status < 500 and status not in {408, 429}:
                raise Rejected(error, divisible=status == 400) from None
            raise

    def _upload(self, source: Path) -> None:
        if source.is_dir():
            self._client.log_artifacts(self._run_id, str(source), artifact_path=source.name)
        else:
            self._client.log_artifact(self._run_id, str(source))

    def _retry_artifacts(self, deadline: float) -> list[Path]:
        """Upload again what failed; return what still does, and remove the copies of the rest."""
        left = []
        for copy in dict.fromkeys(self._unsent_artifacts):
            while True:
                try:
                    self._upload(copy)
                except Exception as error:
                    self._artifact_error = error
                    if time.monotonic() < deadline:
                        time.sleep(0.5)
                        continue
                    left.append(copy)
                else:
                    _remove(copy)
                break
        return left

    def _keep(self, unsent: list[_Metric | _Parameter], artifacts: list[Path]) -> None:
        """Write to files what the server did not take, and say where."""
        forget_answer(self._server)
        kinds = Counter("metric" if isinstance(item, _Metric) else "parameter" for item in unsent)
        if artifacts:
            kinds["artifact"] = len(artifacts)
        what = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in kinds.items())
        reason = self._server.redact(self._outbox.error if unsent else self._artifact_error)
        try:
            for item in unsent:
                if isinstance(item, _Metric):
                    self._kept.write_metric(item.key, item.value, item.step, datetime.fromtimestamp(item.time))
                else:
                    self._kept.log_parameter(item.key, item.value)
            place = f"kept in {self._directory.create()}"
        except OSError as error:
            place = f"lost, as they cannot be kept in {self._directory.path} either: {error}"
        self._warn(f"did not take {what} of this run; {place} ({reason})")

    def _warn(self, text: str) -> None:
        print(f"warning: the MLflow server at {self._server.uri} {text}", file=sys.stderr)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
