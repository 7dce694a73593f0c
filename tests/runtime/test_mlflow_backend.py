"""Runs that log to a real MLflow server, with and without basic auth, up and down."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from support.proxy import Proxy, proxy
from tesseract_core.runtime.config import override_config
from tesseract_core.runtime.mpa import log_artifact, log_metric, log_parameter, mlflow_server, serve_run, start_run
from tesseract_core.runtime.mpa import mlflow as backend
from tesseract_core.runtime.mpa.mlflow_artifacts import why_never

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
    plain: MlflowServer,
    configured: Callable[..., Any],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    artifact, other = tmp_path / "a.txt", tmp_path / "b.txt"
    artifact.write_text("x")
    other.write_text("y")
    os.environ["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"] = "1"
    monkeypatch.setattr(backend, "ARTIFACT_WAIT", 0.5)
    away = threading.Event()

    def come_and_go(request: Proxy) -> None:
        request.hang_up() if away.is_set() else request.forward()

    with proxy(plain.port, come_and_go) as uri, configured(uri), serve_run("abc", named=False):
        away.set()
        log_metric("m", 1)
        log_parameter("p", 1)
        log_artifact(artifact)
        log_artifact(other)
        other.unlink()
        away.clear()
    run = plain.runs()[0]
    assert run["info"]["status"] == "FINISHED"
    assert plain.history(run, "m") == [(1.0, 0)]
    assert run["data"]["params"] == [{"key": "p", "value": "1"}]
    assert plain.artifacts(run) == ["a.txt", "b.txt"]
    assert "warning" not in capfd.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out/run_abc/logs").iterdir()) == ["run.json", "tesseract.log"]


# What stands in front of servers out there


def test_a_front_page_that_is_not_there_and_a_token(
    plain: MlflowServer, configured: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    def guard(request: Proxy) -> None:
        if not request.path.startswith("/api/"):
            request.reply(404, b"no page")
        elif request.headers.get("Authorization") != "Bearer hunter2":
            request.reply(401, b"a token, please")
        else:
            request.forward()

    with proxy(plain.port, guard) as uri:
        message = refusal(configured, uri)
        assert f"{uri} answered 401 Unauthorized: a token, please; check" in message
        assert "MLFLOW_TRACKING_TOKEN" in message
        os.environ["MLFLOW_TRACKING_TOKEN"] = "hunter2"
        with configured(uri), start_run():
            log_metric("m", 1)
    assert plain.history(plain.runs()[0], "m") == [(1.0, 0)]
    assert "warning" not in capfd.readouterr().err


def test_credentials_in_mlflows_own_file(guarded: MlflowServer, configured: Callable[..., Any], tmp_path: Path) -> None:
    os.environ["HOME"] = str(tmp_path)
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow/credentials").write_text(f"[mlflow]\nmlflow_tracking_password = {PASSWORD}\n")
    os.environ["MLFLOW_TRACKING_USERNAME"] = USER  # the rest is in the file
    before = len(guarded.runs())
    with configured(guarded.uri), start_run():
        pass
    assert len(guarded.runs()) == before + 1


def test_a_refusal_is_quoted(configured: Callable[..., Any]) -> None:
    words = b"Invalid Host header - possible DNS rebinding attack detected"
    with proxy(0, lambda request: request.reply(403, words)) as uri:
        message = refusal(configured, uri)
    assert f"{uri} answered 403 Forbidden: {words.decode()}; check what that server allows" in message
    assert "PASSWORD" not in message


def test_answers_that_take_their_time(
    plain: MlflowServer, configured: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sent: list[str] = []

    def slow(request: Proxy) -> None:
        sent.append(f"{request.command} {request.path.partition('?')[0]}")
        request.forward(delay=0.4)

    before = len(plain.runs())
    with proxy(plain.port, slow) as uri, configured(uri), serve_run("slow", named=False):
        for name in ("one", "two"):
            (tmp_path / name).write_text(name)
            log_artifact(tmp_path / name)
        log_metric("m", 1)
    runs = plain.runs()
    assert len(runs) == before + 1
    assert plain.artifacts(runs[0]) == ["one", "two"]
    assert [line.rpartition("/")[2] for line in sent if line.startswith("PUT")] == ["one", "two"]
    assert "warning" not in capfd.readouterr().err
    assert {"key": "tesseract.run_id", "value": "slow"} in runs[0]["data"]["tags"]


@pytest.mark.parametrize("answer", [504, None])
def test_a_run_of_which_it_is_unclear_whether_it_was_made(
    plain: MlflowServer, configured: Callable[..., Any], answer: int | None
) -> None:
    def lose_the_answer(request: Proxy) -> None:
        if request.path.endswith("runs/create"):
            request.forward(silently=True)
            request.reply(answer, b"gateway timeout") if answer else request.hang_up()
        else:
            request.forward()

    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    before = len(plain.runs())
    with proxy(plain.port, lose_the_answer) as uri, configured(uri), serve_run("unclear", named=False):
        log_metric("m", 1)
    runs = plain.runs()
    assert len(runs) == before + 1
    assert runs[0]["info"]["status"] == "FINISHED"
    assert plain.history(runs[0], "m") == [(1.0, 0)]


def test_a_run_that_is_made_later_than_the_call_waits(
    plain: MlflowServer, configured: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    may_go_on = threading.Event()

    def held(request: Proxy) -> None:
        if request.path.endswith("runs/create"):
            may_go_on.wait(60)
        request.forward()

    before = len(plain.runs())
    (tmp_path / "a.txt").write_text("x")
    with proxy(plain.port, held) as uri:
        with configured(uri, mlflow_wait=0.2), serve_run("late", named=False):
            log_metric("m", 1)
            log_artifact(tmp_path / "a.txt")
        logs = tmp_path / "out/run_late/logs"
        said = f"{uri} has not yet taken 1 metric, 1 artifact of this run; kept in {logs}"
        assert f"{said} (not done within 0.2 s; they are sent on while this process lives)" in capfd.readouterr().err
        assert (logs / "artifacts/a.txt").read_text() == "x"
        assert len(plain.runs()) == before
        may_go_on.set()
        deadline = time.monotonic() + 60
        while (runs := plain.runs()) and (len(runs) == before or runs[0]["info"]["status"] != "FINISHED"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert len(runs) == before + 1
    assert plain.history(runs[0], "m") == [(1.0, 0)]
    assert plain.artifacts(runs[0]) == ["a.txt"]


@pytest.mark.parametrize(
    ("place", "why"),
    [("file:///proc/artifacts", "--volume"), ("wasbs://c@a.blob.core.windows.net/x", "azure-storage-blob")],
)
def test_artifacts_that_can_never_arrive_are_kept_at_once(
    plain: MlflowServer,
    configured: Callable[..., Any],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    place: str,
    why: str,
) -> None:
    body = {"name": place, "artifact_location": place}
    made = requests.post(f"{plain.uri}/api/2.0/mlflow/experiments/create", json=body, timeout=30).json()
    (tmp_path / "a.txt").write_text("x")
    extra = {"experiment_id": made["experiment_id"]}
    with configured(plain.uri, mlflow_run_extra_args=extra), serve_run("abc", named=False):
        log_artifact(tmp_path / "a.txt")
        log_metric("m", 1)
    said = capfd.readouterr().err
    assert f"did not take 1 artifact of this run; kept in {tmp_path}/out/run_abc/logs (its artifacts go to" in said
    assert why in said
    assert (tmp_path / "out/run_abc/logs/artifacts/a.txt").read_text() == "x"


def test_where_artifacts_can_never_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setattr(sys, "path", [])
    for uri, package in {"s3://b/x": "boto3", "gs://b/x": "google-cloud-storage", "sftp://h/x": "pysftp"}.items():
        assert f"which needs {package}: add {package} to" in str(why_never(uri))
    for uri in ("mlflow-artifacts:/0/x", "http://host/x", str(tmp_path / "new/deep"), f"file://{tmp_path}/new"):
        assert why_never(uri) is None


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
    with configured(plain.uri, mlflow_wait=1.5), serve_run("abc", named=False):
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
    said = f"{plain.uri} has not yet taken 999 metrics, 1 parameter, 1 artifact of this run; kept in {logs}"
    assert f"{said} (not done within 1.5 s; they are sent on while this process lives)" in warnings
    assert "has not yet taken" in (logs / "tesseract.log").read_text()
    # The next run is refused at once.
    assert plain.uri in refusal(configured, plain.uri)
