"""The same commands on Docker: build, run, serve, tear down; files belong to the caller, and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs_engine("docker")

Cli = Callable[..., subprocess.CompletedProcess[str]]
PAYLOAD = '{"inputs": {"a": [1.0, 2.0], "b": [3.0, 4.0]}}'


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(autouse=True)
def on_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", os.environ["TESSERACT_DOCKER_TEST_HOST"])
    monkeypatch.setenv("TESSERACT_ENGINE", "docker")


@pytest.fixture(scope="module")
def image(base_image: str, tesseract_cli: Cli, root_dir: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", os.environ["TESSERACT_DOCKER_TEST_HOST"])
        with subprocess.Popen(["podman", "save", base_image], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "load", "-q"], stdin=saved.stdout, check=True, capture_output=True)
        built = tesseract_cli("--engine", "docker", "build", root_dir / "examples/vectoradd", timeout=900)
        assert built.returncode == 0, built.stderr
        assert json.loads(built.stdout) == ["vectoradd:1.0.0", "vectoradd:latest"]
        yield "vectoradd"
        docker("rmi", "-f", "vectoradd:1.0.0", "vectoradd:latest")


@pytest.fixture(autouse=True)
def nothing_left(image: str, on_docker: None) -> Iterator[None]:
    def state() -> tuple[set[str], ...]:
        listings = (["ps", "-aq"], ["network", "ls", "-q"], ["volume", "ls", "-q"])
        return tuple(set(docker(*words).split()) for words in listings)

    before = state()
    yield
    assert state() == before


def test_run_writes_files_that_belong_to_the_caller(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    done = tesseract_cli("run", image, "apply", "--output-path", tmp_path / "out", "-f", "json+binref", PAYLOAD)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"]["data"]["encoding"] == "binref"
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.stat().st_uid for path in files} == {os.getuid()}


def test_from_serve_to_teardown(tesseract_cli: Cli, image: str) -> None:
    done = tesseract_cli("serve", "--num-workers", "2", "--network", "journey", "--network-alias", "adder", image)
    assert done.returncode == 0, done.stderr
    (container,) = json.loads(done.stdout)["containers"]
    assert container["networks"]["journey"]["port"] == "8000"
    request = urllib.request.Request(
        f"http://127.0.0.1:{container['port']}/apply", PAYLOAD.encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["result"]["data"]["buffer"] == [4.0, 6.0]
    rows = json.loads(tesseract_cli("ps", "--format", "json").stdout)
    assert [row["container_name"] for row in rows] == [container["name"]]
    assert tesseract_cli("teardown", "--all").returncode == 0  # the network goes with it: `nothing_left`


def test_a_memory_limit_that_is_too_small_is_named(tesseract_cli: Cli, image: str) -> None:
    done = tesseract_cli("serve", "--memory", "24m", image)
    assert done.returncode == 1
    assert "stopped running during startup" in done.stderr
    assert "memory" in done.stderr


def test_a_gpu_that_docker_cannot_give(tesseract_cli: Cli, image: str) -> None:
    done = tesseract_cli("run", "--gpus", "0", image, "health")
    assert (done.returncode, done.stdout) == (1, "")
    assert "NVIDIA Container Toolkit" in done.stderr


def test_info_says_which_engine_and_why(tesseract_cli: Cli) -> None:
    said = tesseract_cli("info").stdout
    assert "TESSERACT_ENGINE says docker" in said
    assert os.environ["TESSERACT_DOCKER_TEST_HOST"] in said
