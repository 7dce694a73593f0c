"""Runs that log to a real MLflow server, with and without basic auth, up and down."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from tesseract_core.runtime.config import override_config
from tesseract_core.runtime.mpa import log_artifact, log_metric, log_parameter, mlflow_server, serve_run, start_run
from tesseract_core.runtime.mpa import mlflow as backend

USER, PASSWORD = "admin", "correct horse battery"


@dataclass
class MlflowServer:
    """An `mlflow server` process on loopback."""

    folder: Path
    port: int
    basic_auth: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        if self.basic_auth:
            settings = self.folder / "auth.ini"
            settings.write_text(
                "[mlflow]\ndefault_permission = READ\n"
                f"database_uri = sqlite:///{self.folder}/auth.db\n"
                f"admin_username = {USER}\nadmin_password = {PASSWORD}\n"
                "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            )
            environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 16}
            command += ["--app-name", "basic-auth"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 120
        while True:
            try:
                if requests.get(f"{self.uri}/health", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
            time.sleep(0.2)

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, 9)
            self.process.wait()
            self.process = None

    def get(self, path: str, /, **params: str) -> Any:
        auth = (USER, PASSWORD) if self.basic_auth else None
        answer = requests.get(f"{self.uri}/api/2.0/mlflow/{path}", params=params, auth=auth, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def runs(self) -> list[Any]:
        """All runs, newest first."""
        body = {"experiment_ids": ["0"], "max_results": 100, "order_by": ["attributes.start_time DESC"]}
        auth = (USER, PASSWORD) if self.basic_auth else None
        answer = requests.post(f"{self.uri}/api/2.0/mlflow/runs/search", json=body, auth=auth, timeout=30)
        assert answer.ok, answer.text
        return answer.json().get("runs", [])

    def history(self, run: Any, key: str) -> list[tuple[float, int]]:
        found = self.get("metrics/get-history", run_id=run["info"]["run_id"], metric_key=key)
        return sorted(((entry["value"], entry.get("step", 0)) for entry in found["metrics"]), key=lambda pair: pair[1])

    def artifacts(self, run: Any, path: str = "") -> list[str]:
        found = self.get("artifacts/list", run_id=run["info"]["run_id"], **({"path": path} if path else {}))
        return sorted(entry["path"] for entry in found.get("files", []))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"), free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow_auth"), free_port(), basic_auth=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test with an MLflow environment of its own, which runs may change."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "TESSERACT_"))]:
        del os.environ[name]
    mlflow_server._answered.clear()
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Any]:
    def configure(uri: str, **more: Any) -> Any:
        return override_config({"output_path": str(tmp_path / "out"), "mlflow_tracking_uri": uri, **more})

    return configure


@contextmanager
def impatient() -> Iterator[None]:
    """The end of a run waits less for a server that is away."""
    patience, backend.LAST_TRIES = backend.LAST_TRIES, 1.5
    try:
        yield
    finally:
        backend.LAST_TRIES = patience


def test_metrics_parameters_and_artifacts(plain: MlflowServer, configured: Callable[..., Any], tmp_path: Path) -> None:
    artifact, folder = tmp_path / "a.txt", tmp_path / "folder"
    artifact.write_text("x")
    folder.mkdir()
    (folder / "b.txt").write_text("y")
    with configured(plain.uri), serve_run("abc", named=True):
        print("logged to the file")
        log_parameter("p", {"x": 1})
        for value in range(10):
            log_metric("m", value * 2)
        log_metric("n", 1.5, step=7)
        log_artifact(str(artifact))
        log_artifact(folder)
    run = plain.runs()[0]
    assert run["info"]["status"] == "FINISHED"
    assert run["data"]["params"] == [{"key": "p", "value": "{'x': 1}"}]
    assert plain.history(run, "m") == [(value * 2.0, value) for value in range(10)]
    assert plain.history(run, "n") == [(1.5, 7)]
    assert plain.artifacts(run) == ["a.txt", "folder"]
    assert plain.artifacts(run, "folder") == ["folder/b.txt"]
    logs = tmp_path / "out/run_abc/logs"
    assert sorted(path.name for path in logs.iterdir()) == ["run.json", "tesseract.log"]
    assert (logs / "tesseract.log").read_text() == "logged to the file\n"


def test_a_silent_run_leaves_nothing_on_disk(
    plain: MlflowServer, configured: Callable[..., Any], tmp_path: Path
) -> None:
    before = len(plain.runs())
    with configured(plain.uri), serve_run("silent", named=False):
        log_metric("m", 1)
    assert len(plain.runs()) == before + 1
    assert not (tmp_path / "out").exists()


def test_a_failed_run(plain: MlflowServer, configured: Callable[..., Any]) -> None:
    def fail() -> None:
        with configured(plain.uri), start_run():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert plain.runs()[0]["info"]["status"] == "FAILED"


def test_nested_runs(plain: MlflowServer, configured: Callable[..., Any], tmp_path: Path) -> None:
    with configured(plain.uri), start_run():
        with start_run(tmp_path / "inner"):
            log_metric("inner", 1)
        log_metric("outer", 1)
    inner, outer = plain.runs()[:2] if "inner" in str(plain.runs()[0]) else plain.runs()[1::-1]
    assert [metric["key"] for metric in inner["data"]["metrics"]] == ["inner"]
    assert [metric["key"] for metric in outer["data"]["metrics"]] == ["outer"]


@pytest.mark.parametrize(
    ("text", "tags", "name"),
    [
        ("{'tags': {'project': 'demo'}}", {"project": "demo"}, None),
        ("{'run_name': 'my run'}", {}, "my run"),
        ("{'description': 'what it is'}", {"mlflow.note.content": "what it is"}, None),
    ],
)
def test_run_extra_args(
    plain: MlflowServer, configured: Callable[..., Any], text: str, tags: dict[str, str], name: str | None
) -> None:
    os.environ["TESSERACT_MLFLOW_RUN_EXTRA_ARGS"] = text
    with configured(plain.uri), start_run():
        pass
    run = plain.runs()[0]
    found = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert tags.items() <= found.items()
    assert name is None or run["info"]["run_name"] == name


def test_extra_args_that_mlflow_does_not_know(plain: MlflowServer, configured: Callable[..., Any]) -> None:
    with (
        configured(plain.uri, mlflow_run_extra_args={"no_such_argument": 1}),
        pytest.raises(RuntimeError, match=r"no_such_argument.*TESSERACT_MLFLOW_RUN_EXTRA_ARGS"),
        start_run(),
    ):
        pass


def test_a_value_that_the_server_refuses_is_kept_in_files(
    plain: MlflowServer, configured: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with configured(plain.uri), serve_run("abc", named=False):
        log_parameter("good", 1)
        log_parameter("bad@key", 1)
        log_metric("m", 1)
    run = plain.runs()[0]
    assert run["info"]["status"] == "FINISHED"
    assert run["data"]["params"] == [{"key": "good", "value": "1"}]
    assert [metric["key"] for metric in run["data"]["metrics"]] == ["m"]
    assert "did not take 1 parameter of this run" in capfd.readouterr().err
    kept = json.loads((tmp_path / "out/run_abc/logs/parameters.json").read_text())
    assert kept == {"bad@key": 1}


# Reachability and credentials: the run is refused before anything is computed


def refusal(configured: Callable[..., Any], uri: str) -> str:
    computed = False
    with pytest.raises((RuntimeError, ValueError)) as caught, configured(uri), serve_run("refused", named=False):
        computed = True
    assert not computed
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_server_down_at_start(configured: Callable[..., Any], tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    message = refusal(configured, uri)
    assert uri in message
    assert "TESSERACT_MLFLOW_TRACKING_URI" in message
    assert "log to files instead" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("uri", "part"),
    [
        ("sqlite:///x.db", "'sqlite'"),
        ("file:/tmp/x", "'file'"),
        ("ftp://host", "'ftp'"),
        ("https://", "names no host"),
        ("/tmp/mlruns", "names no host"),
    ],
)
def test_unsuitable_uris(configured: Callable[..., Any], uri: str, part: str) -> None:
    assert part in refusal(configured, uri)


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000/base", "http://127.0.0.1:5000/base"),
        ("mlflow.example.org", "https://mlflow.example.org"),
        ("mlflow-server:5000", "https://mlflow-server:5000"),
        ("HTTP://host:1", "http://host:1"),
        ("https://host/a/b", "https://host/a/b"),
    ],
)
def test_uris_without_a_scheme(uri: str, meant: str) -> None:
    assert mlflow_server.find_server(uri).uri == meant


@pytest.mark.parametrize(("given", "missing"), [("USERNAME", "PASSWORD"), ("PASSWORD", "USERNAME")])
def test_half_of_the_credentials(configured: Callable[..., Any], given: str, missing: str) -> None:
    os.environ[f"MLFLOW_TRACKING_{given}"] = "secret"
    message = refusal(configured, "http://127.0.0.1:1")
    assert f"MLFLOW_TRACKING_{given} is set but MLFLOW_TRACKING_{missing} is not" in message
    assert "secret" not in message


def test_basic_auth(guarded: MlflowServer, configured: Callable[..., Any]) -> None:
    os.environ |= {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    with configured(guarded.uri), start_run():
        log_metric("m", 1)
    assert guarded.history(guarded.runs()[0], "m") == [(1.0, 0)]


def test_basic_auth_in_the_uri(
    guarded: MlflowServer, configured: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    before = len(guarded.runs())
    uri = f"http://{USER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{guarded.port}"
    with configured(uri), start_run():
        log_metric("m", 1)
    assert len(guarded.runs()) == before + 1
    captured = capfd.readouterr()
    assert "correct" not in captured.out + captured.err


def test_refused_credentials(guarded: MlflowServer, configured: Callable[..., Any]) -> None:
    missing = refusal(configured, guarded.uri)
    os.environ |= {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": "not the password"}
    wrong = refusal(configured, guarded.uri)
    for message in (missing, wrong):
        assert f"{guarded.uri} answered 401 Unauthorized" in message
        assert "MLFLOW_TRACKING_USERNAME" in message
        assert "MLFLOW_TRACKING_PASSWORD" in message
    assert "not the password" not in wrong


# The server goes away while a run computes


def test_server_back_before_the_end(
    plain: MlflowServer, configured: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    artifact = tmp_path / "a.txt"
    artifact.write_text("x")
    with configured(plain.uri), serve_run("abc", named=False):
        plain.stop()
        log_metric("m", 1)
        log_parameter("p", 1)
        log_artifact(artifact)
        plain.start()
    run = plain.runs()[0]
    assert run["info"]["status"] == "FINISHED"
    assert plain.history(run, "m") == [(1.0, 0)]
    assert run["data"]["params"] == [{"key": "p", "value": "1"}]
    assert plain.artifacts(run) == ["a.txt"]
    assert "did not take" not in capfd.readouterr().err
    assert not (tmp_path / "out/run_abc/logs/artifacts/a.txt").exists()


def test_mlflow_is_imported_only_when_selected(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom tesseract_core.runtime.mpa import start_run, log_metric\n"
        f"with start_run({str(tmp_path)!r}): log_metric('m', 1)\n"
        "assert not any(name.split('.')[0] in {'mlflow', 'requests'} for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_server_down_in_the_middle(  # and this test leaves it so, as the last one that uses it
    plain: MlflowServer, configured: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    artifact = tmp_path / "a.txt"
    artifact.write_text("x")
    with impatient(), configured(plain.uri), serve_run("abc", named=False):
        log_metric("m", 0)
        deadline = time.monotonic() + 30
        while not plain.runs()[0]["data"].get("metrics"):  # metrics appear while the run goes on
            assert time.monotonic() < deadline
            time.sleep(0.1)
        plain.stop()
        began = time.monotonic()
        for value in range(1, 1000):
            log_metric("m", value)
        assert time.monotonic() - began < 5, "the computation does not wait for the server"
        log_parameter("p", 1)
        log_artifact(artifact)
        artifact.unlink()
    logs = tmp_path / "out/run_abc/logs"
    with (logs / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["key"], float(row["value"]), int(row["step"])) for row in rows] == [
        ("m", float(value), value) for value in range(1, 1000)
    ]
    assert json.loads((logs / "parameters.json").read_text()) == {"p": 1}
    assert (logs / "artifacts/a.txt").read_text() == "x"
    warnings = capfd.readouterr().err
    assert f"{plain.uri} did not take 999 metrics, 1 parameter, 1 artifact of this run; kept in {logs}" in warnings
    assert "did not take" in (logs / "tesseract.log").read_text()
    # The next run is refused at once.
    assert plain.uri in refusal(configured, plain.uri)
