"""A Tesseract from Python: build an image, serve it in a container, call it, and leave nothing behind."""

from __future__ import annotations

import gc
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from support.stores import ftp_server
from tesseract_core import Tesseract, run_tesseract, serve, teardown
from tesseract_core.sdk.docker_client import CLIDockerClient, ContainerError, ImageNotFound, NotFound

pytestmark = pytest.mark.needs_engine("podman")

INPUTS = {"a": [1.0, 2.0], "b": np.array([3.0, 4.0])}


@pytest.fixture(scope="module")
def vectoradd(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("vectoradd")


def is_gone(name: str) -> bool:
    return subprocess.run(["podman", "container", "exists", name], check=False).returncode == 1


def wait_until_gone(name: str) -> None:
    deadline = time.monotonic() + 60
    while not is_gone(name):
        assert time.monotonic() < deadline, f"{name} is still there"
        time.sleep(0.1)


def test_with_block(vectoradd: str) -> None:
    lines: list[str] = []
    with Tesseract.from_image(vectoradd, num_workers=2, stream_logs=lines.append) as tesseract:
        np.testing.assert_array_equal(tesseract.apply(INPUTS)["result"], [4, 6])
        container = tesseract.container_info()
        assert container.status == "running"
        assert container.host_port.isdigit()
        context = tesseract._serve_context  # which programs of others read
        assert context is not None
        assert (context["port"], context["container_name"]) == (container.host_port, container.name)
        assert container.host_ip == "127.0.0.1"
        assert container.api_port == "8000"
        assert container.host_debugpy_port is None
        assert requests.get(f"{container.url}/health", timeout=10).json() == {"status": "ok"}
        assert any(entry.startswith("TESSERACT_NAME=") for entry in container.attrs["Config"]["Env"])
        assert "test" in tesseract.available_endpoints
        with pytest.raises(RuntimeError, match="already being served"):
            tesseract.serve()
        with ThreadPoolExecutor(max_workers=4) as executor:
            results = list(executor.map(tesseract.apply, [INPUTS] * 8))
        assert all((result["result"] == [4, 6]).all() for result in results)
    assert is_gone(container.name)
    assert "Serving" in tesseract.server_logs()


def test_exceptions_leave_nothing_behind(vectoradd: str) -> None:
    names = []

    def work() -> None:
        with Tesseract.from_image(vectoradd) as tesseract:
            names.append(tesseract.container_info().name)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert is_gone(names[0])


def test_garbage_collection_removes_the_container(vectoradd: str) -> None:
    tesseract = Tesseract.from_image(vectoradd)
    tesseract.serve()
    name = tesseract.container_info().name
    del tesseract
    gc.collect()
    assert is_gone(name)


def test_the_end_of_the_interpreter_removes_the_container(vectoradd: str) -> None:
    code = f"""
from tesseract_core import Tesseract
tesseract = Tesseract.from_image({vectoradd!r})
tesseract.serve()
print(tesseract.container_info().name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr == "" or "Traceback" not in done.stderr
    wait_until_gone(done.stdout.strip())


def test_a_container_that_somebody_removed(vectoradd: str) -> None:
    with Tesseract.from_image(vectoradd) as tesseract:
        container = tesseract.container_info()
        teardown(container.name)
        with pytest.raises(NotFound):
            container.reload()
        with pytest.raises(requests.exceptions.ConnectionError):
            tesseract.health()


def test_files_go_both_ways(vectoradd: str, tmp_path: Path) -> None:
    with Tesseract.from_image(vectoradd, output_path=tmp_path / "out", output_format="json+binref") as tesseract:
        np.testing.assert_array_equal(tesseract.apply(INPUTS, run_id="mine")["result"], [4, 6])
    files = list((tmp_path / "out" / "run_mine").rglob("*.bin"))
    assert files
    assert all(file.stat().st_uid == os.getuid() for file in files)


def test_input_and_output_elsewhere(vectoradd: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "inputs").mkdir(parents=True)
    (store / "results").mkdir()
    vector = {"shape": [2], "dtype": "float64", "data": {"buffer": "vector.bin", "encoding": "binref"}}
    (store / "inputs" / "vector.bin").write_bytes(np.array([1.0, 2.0]).tobytes())
    with (
        ftp_server(store) as url,
        Tesseract.from_image(vectoradd, input_path=f"{url}/inputs", output_path=f"{url}/results") as tesseract,
    ):
        inputs = {"a": vector, "b": [3.0, 4.0]}
        np.testing.assert_array_equal(tesseract.apply(inputs, run_id="mine")["result"], [4, 6])
        tesseract.teardown()
        assert (store / "results" / "run_mine").is_dir()


def test_socket_without_network(vectoradd: str) -> None:
    with Tesseract.from_image(vectoradd, network="none") as tesseract:
        np.testing.assert_array_equal(tesseract.apply(INPUTS)["result"], [4, 6])
        assert tesseract.container_info().host_port is None


def test_token(vectoradd: str) -> None:
    with Tesseract.from_image(vectoradd, token="auto") as tesseract:
        np.testing.assert_array_equal(tesseract.apply(INPUTS)["result"], [4, 6])
        with pytest.raises(RuntimeError, match="Error 401"):
            Tesseract.from_url(tesseract.container_info().url).apply(INPUTS)


def test_failures_to_start(vectoradd: str) -> None:
    with pytest.raises(ImageNotFound), Tesseract.from_image("no-such-tesseract"):
        pass
    broken = Tesseract.from_image(vectoradd, environment={"TESSERACT_API_PATH": "/nowhere.py"})
    with pytest.raises(RuntimeError, match=r"(?s)stopped running during startup.*nowhere"), broken:
        pass
    assert not [item for item in CLIDockerClient().containers.list(all=True) if item.status == "exited"]


def test_serve_and_teardown_as_functions(vectoradd: str) -> None:
    name, container = serve(vectoradd, port="20000-29999", environment={"A": "1"})
    try:
        assert container.name == name
        assert 20000 <= int(container.host_port) <= 29999
        np.testing.assert_array_equal(Tesseract.from_url(container.url).apply(INPUTS)["result"], [4, 6])
        client = CLIDockerClient()
        assert name in [item.name for item in client.containers.list()]
        assert client.containers.get(name).id == container.id
        assert container.image is not None
        assert f"{vectoradd}:latest" in container.image.tags
        assert container.exec_run(["echo", "hi"]) == (0, b"hi\n")
        with pytest.raises(ContainerError):
            container.exec_run(["false"])
        assert b"Serving" in container.logs()
    finally:
        teardown(name)
    assert is_gone(name)
    with pytest.raises(NotFound):
        teardown(name)


def test_run_as_a_function(vectoradd: str) -> None:
    stdout, _ = run_tesseract(vectoradd, "apply", ['{"inputs": {"a": [1], "b": [2]}}'])
    assert '"buffer":[3.0]' in stdout
    lines: list[str] = []
    with pytest.raises(ContainerError) as caught:
        run_tesseract(vectoradd, "apply", ['{"inputs": {"a": [1], "b": [2, 3]}}'], stream_logs=lines.append)
    assert caught.value.exit_status == 2
    assert b"same length" in caught.value.stderr
    assert "same length" in str(caught.value)  # what a traceback shows
    assert any("same length" in line for line in lines)
    with pytest.raises(ImageNotFound):
        run_tesseract("no-such-tesseract", "apply", ["{}"])


def test_facade(vectoradd: str) -> None:
    client = CLIDockerClient()
    image = client.images.get(vectoradd)
    assert image.short_id in image.id
    assert image.id in [item.id for item in client.images.list()]
    with pytest.raises(ImageNotFound):
        client.images.get("debian:bookworm-slim")
    assert client.images.get("debian:bookworm-slim", tesseract_only=False).tags
    assert client.containers.run(vectoradd, ["health"]) == b'{"status":"ok"}'
    with pytest.raises(ContainerError) as caught:
        client.containers.run(vectoradd, "no-such-command", stderr=True)
    assert caught.value.exit_status == 2
    with pytest.raises(ValueError, match="detach"):
        client.containers.run(vectoradd, ["health"], detach=True, remove=True)
    with pytest.raises(NotFound):
        client.containers.get("no-such-container")
    assert client.info()


def test_facade_runs_any_image(tmp_path: Path) -> None:
    client = CLIDockerClient()
    name = f"facade-{secrets.token_hex(4)}"
    shown = client.containers.run(
        "debian:bookworm-slim",
        "sh -c 'echo $THREADS; id -u; ls /data'",
        environment={"THREADS": 4},
        user=1234,
        volumes={str(tmp_path): {"bind": "/data", "mode": "ro"}},
        network=name,
    )
    assert shown == b"4\n1234\n"
    with pytest.raises(NotFound):  # it was made for that one run
        client.networks.get(name)
    with pytest.raises(ContainerError, match=r"status 135 \(bus error: /dev/shm is full.*--shm-size"):
        client.containers.run("debian:bookworm-slim", ["sh", "-c", "kill -BUS $$"])


def test_facade_of_a_running_container() -> None:
    container = CLIDockerClient().containers.run("debian:bookworm-slim", ["sleep", "60"], detach=True)
    try:
        assert container.exec_run("echo 'one word'") == (0, b"one word\n")
        assert container.exec_run(["echo", "one word"]) == (0, b"one word\n")
        with pytest.raises(ContainerError, match=r"(?s)exit status 1:.*no-such-file"):
            container.exec_run(["cat", "no-such-file"])
        with pytest.raises(TimeoutError, match=rf"{container.name} did not end within 0\.2 s"):
            container.wait(timeout=0.2)
        container.stop()
        assert container.wait()["StatusCode"] != 0
    finally:
        container.remove(force=True)


def test_facade_volumes() -> None:
    volumes = CLIDockerClient().volumes
    name = f"facade-{secrets.token_hex(4)}"
    with pytest.raises(NotFound):
        volumes.get(name)
    try:
        assert volumes.create(name).name == name
        assert volumes.create(name).name == name  # it exists
        assert name in volumes.list()
    finally:
        volumes.get(name).remove()
    assert name not in volumes.list()
