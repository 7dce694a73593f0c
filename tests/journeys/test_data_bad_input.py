"""Bad data: a full disk, artifacts that are not there, MLflow that does not answer. One clear line, nothing left."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.engine import podman, snapshot
from tesseract_core import Tesseract, run_tesseract

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
LARGE = json.dumps({"inputs": {"a": [1.0] * 50_000, "b": [2.0] * 50_000}})
# An output directory with room for 64 KiB. A real one of the host cannot be made by an ordinary user.
SMALL_DISK = "--mount type=tmpfs,destination=/tesseract/output_data,tmpfs-size=65536"
FULL = ["-e", "TESSERACT_OUTPUT_PATH=/tesseract/output_data", "--engine-args", SMALL_DISK]
ARTIFACT = """
from pydantic import BaseModel
from tesseract_core.runtime.experimental import log_artifact

class InputSchema(BaseModel):
    name: str

class OutputSchema(BaseModel):
    pass

def apply(inputs: InputSchema) -> OutputSchema:
    print("x" * 100_000)
    if inputs.name:
        log_artifact(inputs.name)
    return OutputSchema()
"""


@pytest.fixture(scope="module")
def image(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("vectoradd")


@pytest.fixture
def api(tmp_path: Path) -> list[str]:
    """Options that run `ARTIFACT` in place of the image's own code."""
    path = tmp_path / "tesseract_api.py"
    path.write_text(ARTIFACT)
    return ["-v", f"{path}:/mine/tesseract_api.py", "-e", "TESSERACT_API_PATH=/mine/tesseract_api.py"]


@pytest.fixture(autouse=True)
def nothing_left(image: str) -> Iterator[None]:
    before = snapshot()
    yield
    assert snapshot() == before


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What the runtime complains about, in one line."""
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "Error: " in line]
    return line


def test_a_result_that_does_not_fit(tesseract_cli: Cli, image: str, tmp_path: Path) -> None:
    payload = tmp_path / "payload.json"
    payload.write_text(LARGE)
    done = tesseract_cli("run", image, "apply", f"@{payload}", *FULL, "-e", "TESSERACT_OUTPUT_FORMAT=json+binref")
    assert "cannot write the result" in complaint(done)
    assert "No space left on device" in done.stderr
    done = tesseract_cli("run", image, "apply", f"@{payload}", *FULL, "-e", "TESSERACT_OUTPUT_FILE=result.json")
    assert "No space left on device" in complaint(done)


def test_a_log_that_does_not_fit_costs_no_result(tesseract_cli: Cli, image: str, api: list[str]) -> None:
    done = tesseract_cli("run", image, "apply", '{"inputs": {"name": ""}}', *api, *FULL)
    assert (done.returncode, done.stdout) == (0, "{}"), done.stderr
    assert "log is incomplete" in done.stderr


def test_a_server_survives_a_full_disk(tesseract_cli: Cli, image: str) -> None:
    served = tesseract_cli("serve", image, *FULL)
    assert served.returncode == 0, served.stderr
    answer = json.loads(served.stdout)
    try:
        tesseract = Tesseract.from_url(f"http://127.0.0.1:{answer['containers'][0]['port']}")
        files = tesseract.with_encoding(output_format="json+binref")
        with pytest.raises(RuntimeError, match="Error 500"):
            files.apply(json.loads(LARGE)["inputs"], run_id="large")
        assert tesseract.apply({"a": [1.0], "b": [2.0]}, run_id="small")["result"] == [3.0]
        left = podman("exec", answer["container_name"], "find", "/tesseract/output_data", "-name", "*.bin")
        assert left == ""
        assert "No space left on device" in tesseract_cli("logs", answer["container_name"]).stdout
    finally:
        tesseract_cli("teardown", answer["container_name"])


def test_an_artifact_that_is_not_there(tesseract_cli: Cli, image: str, api: list[str], tmp_path: Path) -> None:
    output = tmp_path / "output"
    done = tesseract_cli("run", image, "apply", '{"inputs": {"name": "nowhere.txt"}}', *api, "-o", output)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the artifact 'nowhere.txt' does not exist" in done.stderr
    assert json.loads((output / "logs/run.json").read_text())["status"] == "failed"
    assert list((output / "logs/artifacts").iterdir()) == []


def test_mlflow_is_down_when_a_run_starts(tesseract_cli: Cli, image: str, api: list[str]) -> None:
    down = ["-e", "TESSERACT_MLFLOW_TRACKING_URI=http://127.0.0.1:9"]
    done = tesseract_cli("run", image, "apply", '{"inputs": {"name": ""}}', *api, *down)
    line = complaint(done)
    assert "http://127.0.0.1:9" in line
    assert "TESSERACT_MLFLOW_TRACKING_URI" in line
    assert "xxx" not in done.stderr, "nothing was computed"


def test_a_file_for_the_result_needs_a_place(tesseract_cli: Cli, image: str) -> None:
    done = tesseract_cli("run", image, "apply", '{"inputs": {"a": [1], "b": [2]}}', "--output-file", "r.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--output-path" in done.stderr
    with pytest.raises(ValueError, match="--output-path"):
        run_tesseract(image, "apply", ['{"inputs": {"a": [1], "b": [2]}}'], output_file="r.json")
