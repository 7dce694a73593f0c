"""One run of an MLflow server, through MLflow's own client. Its methods wait as long as that client does."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path
from typing import Any

from tesseract_core.runtime.config import env_name
from tesseract_core.runtime.mpa.mlflow_server import PASSWORD, TOKEN, USERNAME, Server, status_of
from tesseract_core.runtime.mpa.outbox import Rejected

RUN_ID_TAG = "tesseract.run_id"
_ADVICE = {
    401: f"check {USERNAME} and {PASSWORD}, or {TOKEN}",
    403: "check what that server allows",
    404: f"check {env_name('mlflow_tracking_uri')}",
}


class RemoteRun:
    """A run that begins with `start`, in a thread of its own.

    Args:
        server: Where.
        directory: Name of the run's directory: `run_<id>`, or any for a command.
        extra_args: Arguments of `mlflow.start_run`.
    """

    def __init__(self, server: Server, directory: str, extra_args: dict[str, Any]) -> None:
        import mlflow

        self._server = server
        self._client = mlflow.MlflowClient(server.uri)
        ours = re.fullmatch(r"run_([\w.-]+)", directory)
        self._our_id = ours[1] if ours else uuid.uuid4().hex
        parent = mlflow.active_run()
        within = {} if parent is None or "run_id" in extra_args else {"parent_run_id": parent.info.run_id}
        self._arguments = {**within, **extra_args}
        self._run: Any = None
        self._active = False

    def start(self) -> None:
        """Make the run, tagged with our id. If it is unclear whether it was made, look for it by that tag."""
        import mlflow

        began = int(time.time() * 1000)
        tags = {**(self._arguments.get("tags") or {}), RUN_ID_TAG: self._our_id}
        try:
            self._run = mlflow.start_run(**{**self._arguments, "tags": tags})
        except mlflow.MlflowException as error:
            if "run_id" in self._arguments or _is_refusal(error) or not (found := self._made_since(began)):
                raise
            self._run = mlflow.start_run(run_id=found)

    def activate(self) -> None:
        """Make it the run that `mlflow.log_metric` and the like mean in this thread, too, if it has started."""
        if self._run is not None:
            _active_runs().append(self._run)
            self._active = True

    def deactivate(self) -> None:
        if self._active and self._run in (runs := _active_runs()):
            runs.remove(self._run)

    @property
    def artifact_uri(self) -> str:
        return str(self._run.info.artifact_uri)

    def log(self, metrics: list[tuple[str, float, int, int]], params: list[tuple[str, str]]) -> None:
        """Log metrics (key, value, milliseconds since the epoch, step) and parameters.

        Raises:
            Rejected: The server refuses them.
        """
        from mlflow.entities import Metric, Param
        from mlflow.exceptions import MlflowException

        try:
            # The server's limit is 100 parameters in one call.
            for start in range(0, max(len(params), 1), 100):
                self._client.log_batch(
                    self._run.info.run_id,
                    metrics=[Metric(*metric) for metric in metrics] if start == 0 else [],
                    params=[Param(*param) for param in params[start : start + 100]],
                )
        except MlflowException as error:
            if _is_refusal(error):
                raise Rejected(self._server.quote(error), divisible=status_of(error) == 400) from None
            raise

    def upload(self, source: Path) -> None:
        if source.is_dir():
            self._client.log_artifacts(self._run.info.run_id, str(source), artifact_path=source.name)
        else:
            self._client.log_artifact(self._run.info.run_id, str(source))

    def end(self, status: str) -> None:
        import mlflow

        mlflow.end_run(status)

    def refusal(self, error: BaseException) -> RuntimeError:
        """What to say when the run could not be started."""
        status = status_of(error)
        said = self._server.quote(error)
        if status is None:
            advice = f"check the server and {env_name('mlflow_run_extra_args')}"
            return RuntimeError(f"no run could be started at the MLflow server at {self._server.uri}: {said}; {advice}")
        advice = _ADVICE.get(status, f"check the server and {env_name('mlflow_run_extra_args')}")
        return RuntimeError(f"the MLflow server at {self._server.uri} {said}; {advice}")

    def _made_since(self, began: int) -> str | None:
        """The id of a run with our tag that was made since then (milliseconds since the epoch)."""
        import mlflow

        experiment = self._arguments.get("experiment_id")
        where = {"experiment_ids": [str(experiment)]} if experiment is not None else {}
        try:
            found = mlflow.search_runs(
                **where,
                filter_string=f"tags.`{RUN_ID_TAG}` = '{self._our_id}' and attributes.start_time >= {began}",
                max_results=1,
                output_format="list",
            )
        except mlflow.MlflowException:  # what is raised is why the run could not be made
            return None
        return str(found[0].info.run_id) if found else None


def _is_refusal(error: BaseException) -> bool:
    """Whether the server has understood and refuses; anything else leaves open what it has done."""
    status = status_of(error)
    return status is not None and 400 <= status < 500 and status not in {408, 429}


def _active_runs() -> list[Any]:
    """MLflow's stack of active runs of this thread. Only MLflow's own `start_run` could put a run there, which asks the
    server several times."""
    from mlflow.tracking import fluent

    return fluent._active_run_stack.get()
