"""The document that this project was made from, command by command, as printed there.

Image names, options and quoting stay as they are; `"..."` is filled in, and `extra/mlflow/` is `contrib/mlflow/` here.
Where a container has to reach a server on this machine's loopback, that is arranged by TESSERACT_DOCKER_RUN_ARGS.

Cannot run offline: nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import mlflow
from support.images import remove_image

pytestmark = [pytest.mark.needs_engine("podman"), pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BIN = str(Path(sys.executable).parent)
LOOPBACK = "10.0.2.2"  # what slirp4netns calls the host's loopback, where it is allowed


def shell(command: str, cwd: Path, **environ: str) -> str:
    """Run a command line of the document by the shell and return its stdout."""
    env = {**os.environ, **environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Run a `tesseract serve` line; returns the server's URL. Torn down at the end."""
    names: list[str] = []

    def serve(command: str, **environ: str) -> str:
        answer = json.loads(shell(command, tmp_path, **environ))
        names.append(answer["container_name"])
        return f"http://127.0.0.1:{answer['containers'][0]['port']}"

    yield serve
    if names:
        shell(f"tesseract teardown {' '.join(names)}", tmp_path)


def post(url: str, inputs: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"inputs": inputs}).encode()
    request = urllib.request.Request(f"{url}/apply", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


# ---- File aliasing ------------------------------------------------------------------------------------------------


def test_file_aliasing(tesseract_image: Callable[[str], str], tmp_path: Path) -> None:
    tesseract_image("filereference")
    shutil.copytree(EXAMPLES / "filereference" / "testdata", tmp_path / "testdata")
    result = shell(
        """tesseract run filereference apply \\
    --input-path ./testdata \\
    --output-path ./output \\
    '{"inputs": {"data": ["sample_2.json", "sample_3.json"]}}'""",
        tmp_path,
    )
    files = [tmp_path / "output" / name for name in json.loads(result)["data"]]
    assert len(files) == 2
    assert all(file.stat().st_uid == os.getuid() for file in files), "output belongs to the caller"


def test_output_path(tesseract_image: Callable[[str], str], tmp_path: Path) -> None:
    tesseract_image("vectoradd")
    shutil.copy(EXAMPLES / "vectoradd" / "inputs.json", tmp_path)
    output = Path("/tmp/output")
    existed = output.exists()
    try:
        result = shell("tesseract run vectoradd apply --output-path /tmp/output @inputs.json", tmp_path)
        assert "result" in json.loads(result)
        assert (output / "logs" / "tesseract.log").exists()
    finally:
        if not existed:
            shutil.rmtree(output, ignore_errors=True)


# ---- Logging metrics and artifacts --------------------------------------------------------------------------------


def test_metrics_go_to_the_logs_of_the_output_path(tesseract_image: Callable[[str], str], tmp_path: Path) -> None:
    tesseract_image("metrics")
    shell("tesseract run metrics apply --output-path ./output '{\"inputs\": {}}'", tmp_path)
    logs = tmp_path / "output" / "logs"
    assert json.loads((logs / "parameters.json").read_text()) == {"example_param": "value"}
    assert len((logs / "metrics.csv").read_text().splitlines()) == 11
    assert (logs / "artifacts" / "artifact.txt").exists()


@pytest.fixture(scope="module")
def mlflow_stack(base_image: str) -> Iterator[mlflow.Server]:
    with mlflow.stack("docker-compose" if shutil.which("docker-compose") else "podman-compose") as server:
        yield server


def check_run(server: mlflow.Server, run: dict[str, Any]) -> None:
    """A run of the metrics example: its parameter, ten steps of its metric, its artifact."""
    assert {entry["key"]: entry["value"] for entry in run["data"]["params"]} == {"example_param": "value"}
    run_id = run["info"]["run_id"]
    history = server.call(f"metrics/get-history?run_id={run_id}&metric_key=squared_step")["metrics"]
    assert [(entry["step"], entry["value"]) for entry in history] == [(step, step**2) for step in range(10)]
    files = server.call(f"artifacts/list?run_id={run_id}").get("files", [])
    assert [entry["path"] for entry in files] == ["artifact.txt"]


def test_the_provided_mlflow_server(
    mlflow_stack: mlflow.Server, tesseract_image: Callable[[str], str], served: Callable[..., str]
) -> None:
    tesseract_image("metrics")
    url = served(
        "tesseract serve --network=tesseract-mlflow-server "
        "--env=TESSERACT_MLFLOW_TRACKING_URI=http://mlflow-server:5000 --volume mlflow-data:/mlflow-data:rw metrics"
    )
    before = len(mlflow_stack.runs())
    post(url, {})
    runs = mlflow_stack.runs()
    assert len(runs) == before + 1
    check_run(mlflow_stack, runs[0])


def test_the_same_options_with_run(
    mlflow_stack: mlflow.Server, tesseract_image: Callable[[str], str], tmp_path: Path
) -> None:
    tesseract_image("metrics")
    before = len(mlflow_stack.runs())
    shell(
        "tesseract run --network=tesseract-mlflow-server "
        "--env=TESSERACT_MLFLOW_TRACKING_URI=http://mlflow-server:5000 --volume mlflow-data:/mlflow-data:rw "
        "metrics apply '{\"inputs\": {}}'",
        tmp_path,
    )
    assert len(mlflow_stack.runs()) == before + 1


EXTRA_ARGS = [
    (
        """--env=TESSERACT_MLFLOW_RUN_EXTRA_ARGS='{"tags": {"key1": "value1", "key2": "value2"}}'""",
        {"key1": "value1", "key2": "value2"},
    ),
    (
        """--env=TESSERACT_MLFLOW_RUN_EXTRA_ARGS='{"run_name": "my_experiment", "tags": {"env": "production"}}'""",
        {"mlflow.runName": "my_experiment", "env": "production"},
    ),
    (
        """--env=TESSERACT_MLFLOW_RUN_EXTRA_ARGS='{"run_name": "test_run", "description": "Testing new feature", """
        """"tags": {"version": "1.0"}}'""",
        {"mlflow.runName": "test_run", "mlflow.note.content": "Testing new feature", "version": "1.0"},
    ),
    ("", {}),
]


@pytest.mark.parametrize(("option", "tags"), EXTRA_ARGS, ids=["tags", "name-and-tags", "description", "plain"])
def test_a_custom_mlflow_server(
    mlflow_stack: mlflow.Server,
    tesseract_image: Callable[[str], str],
    served: Callable[..., str],
    option: str,
    tags: dict[str, str],
) -> None:
    tesseract_image("metrics")
    uri = f"http://{LOOPBACK}:{mlflow_stack.port}"
    url = served(
        f"""tesseract serve --env=TESSERACT_MLFLOW_TRACKING_URI="{uri}" {option} metrics""",
        TESSERACT_DOCKER_RUN_ARGS="--network=slirp4netns:allow_host_loopback=true",
    )
    post(url, {})
    run = mlflow_stack.runs()[0]
    found = {entry["key"]: entry["value"] for entry in run["data"]["tags"]}
    assert tags.items() <= found.items()
    check_run(mlflow_stack, run)


def test_an_mlflow_server_with_basic_auth(
    base_image: str, tesseract_image: Callable[[str], str], served: Callable[..., str]
) -> None:
    tesseract_image("metrics")
    with mlflow.server_with_login() as server:
        url = served(
            f"""tesseract serve --env=TESSERACT_MLFLOW_TRACKING_URI="http://{LOOPBACK}:{server.port}" \\
    --env=MLFLOW_TRACKING_USERNAME="{server.user}" --env=MLFLOW_TRACKING_PASSWORD="{server.password}" \\
    metrics""",
            TESSERACT_DOCKER_RUN_ARGS="--network=slirp4netns:allow_host_loopback=true",
        )
        post(url, {})
        check_run(server, server.runs()[0])


# ---- Passing environment variables --------------------------------------------------------------------------------


def test_environment_variables(
    tesseract_image: Callable[[str], str], served: Callable[..., str], tmp_path: Path
) -> None:
    tesseract_image("helloworld")
    url = served('tesseract serve --env=MY_ENV_VARIABLE="some value" helloworld')
    assert "Osborne" in json.dumps(post(url, {"name": "Osborne"}))
    name = json.loads(shell("tesseract ps --format json", tmp_path))[0]["container_name"]
    assert "MY_ENV_VARIABLE=some value" in shell(f"podman exec {name} env", tmp_path).splitlines()
    result = shell(
        """tesseract run --env=MY_ENV_VARIABLE="some value" helloworld apply '{"inputs": {"name": "Osborne"}}'""",
        tmp_path,
    )
    assert "Osborne" in result


# ---- Parallelism and worker processes -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def my_tesseract(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The image of the document's `my-tesseract`: helloworld under another name."""
    project = tmp_path_factory.mktemp("my") / "my-tesseract"
    shutil.copytree(EXAMPLES / "helloworld", project)
    shell(f"tesseract build --config-override name=my-tesseract {project}", project)
    yield
    remove_image("my-tesseract")


def test_workers_from_the_command_line(my_tesseract: None, served: Callable[..., str]) -> None:
    url = served("tesseract serve --num-workers 4 my-tesseract")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda i: post(url, {"name": f"n{i}"}), range(16)))
    assert [f"n{i}" in json.dumps(answer) for i, answer in enumerate(answers)] == [True] * 16


def test_workers_from_python(my_tesseract: None) -> None:
    from tesseract_core import Tesseract

    batch = [{"name": f"n{i}"} for i in range(8)]
    with Tesseract.from_image("my-tesseract", num_workers=4) as t, ThreadPoolExecutor(max_workers=4) as executor:
        results = list(executor.map(t.apply, batch))
    assert [f"n{i}" in json.dumps(result) for i, result in enumerate(results)] == [True] * 8


# ---- Using GPUs ---------------------------------------------------------------------------------------------------


@pytest.mark.needs_cdi
@pytest.mark.parametrize("option", ["--gpus 0", "--gpus all", "--gpus 0 --gpus 1"])
def test_gpus(tesseract_image: Callable[[str], str], tmp_path: Path, option: str) -> None:
    tesseract_image("helloworld")
    result = shell(f"""tesseract run {option} helloworld apply '{{"inputs": {{"name": "Osborne"}}}}'""", tmp_path)
    assert "Osborne" in result


# ---- Running Tesseracts without containers ------------------------------------------------------------------------


def test_without_containers(tmp_path: Path) -> None:
    api = EXAMPLES / "helloworld" / "tesseract_api.py"
    result = shell(
        f"""export TESSERACT_API_PATH={api}
        tesseract-runtime apply '{{"inputs": {{"name": "Tessie"}}}}'""",
        tmp_path,
    )
    assert "Tessie" in result
    assert "apply" in shell(f"TESSERACT_API_PATH={api} tesseract-runtime --help 2>&1", tmp_path)
