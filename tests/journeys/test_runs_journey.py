"""From calls to `tesseract runs`: what a person sees of runs that were really made."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tesseract_core import Tesseract

pytestmark = pytest.mark.needs_engine("podman")

Cli = Callable[..., subprocess.CompletedProcess[str]]
FAILING = """
from pydantic import BaseModel

class InputSchema(BaseModel):
    n: int

class OutputSchema(BaseModel):
    n: int

def apply(inputs: InputSchema) -> OutputSchema:
    return OutputSchema(n=10 // inputs.n)
"""


@pytest.fixture(scope="module")
def metrics(tesseract_image: Callable[[str], str]) -> str:
    return tesseract_image("metrics")


def test_the_run_of_a_command(tesseract_cli: Cli, metrics: str, tmp_path: Path) -> None:
    tesseract_cli("run", metrics, "apply", '{"inputs": {}}', "-o", tmp_path)
    (run,) = json.loads(tesseract_cli("runs", tmp_path, "--format", "json").stdout)
    assert (run["id"], run["endpoint"], run["status"]) == ("-", "apply", "succeeded")
    assert run["parameters"] == {"example_param": "value"}
    assert run["artifacts"] == ["artifact.txt"]
    (metric,) = run["metrics"]
    assert metric["key"] == "squared_step"
    assert metric["values"] == [step**2 for step in range(10)]


def test_the_runs_of_a_server(tesseract_cli: Cli, metrics: str, tmp_path: Path) -> None:
    with Tesseract.from_image(metrics, output_path=tmp_path) as tesseract:
        for name in ("first", "second"):
            tesseract.apply({}, run_id=name)
    table = tesseract_cli("runs", tmp_path).stdout.splitlines()
    columns = ["Run", "Started", "Endpoint", "Seconds", "Status", "example_param", "Metrics", "Artifacts"]
    assert table[0].split() == columns
    assert sorted(line.split()[0] for line in table[1:]) == ["first", "second"]
    assert all("apply" in line and "succeeded" in line and "squared_step=81 (min 0)" in line for line in table[1:])
    plot = tesseract_cli("runs", tmp_path, "--plot")
    assert (plot.returncode, "squared_step" in plot.stdout) == (0, True)
    for name in ("plot.png", "plot.svg"):
        assert tesseract_cli("runs", tmp_path, "--plot-file", tmp_path / name).returncode == 0
        assert (tmp_path / name).stat().st_size > 1000


def test_a_run_that_failed(tesseract_cli: Cli, metrics: str, tmp_path: Path) -> None:
    api, output = tmp_path / "tesseract_api.py", tmp_path / "output"
    api.write_text(FAILING)
    mine = ["-v", f"{api}:/mine/tesseract_api.py", "-e", "TESSERACT_API_PATH=/mine/tesseract_api.py"]
    done = tesseract_cli("run", metrics, "apply", '{"inputs": {"n": 0}}', "-o", output, *mine)
    assert done.returncode == 1
    (run,) = json.loads(tesseract_cli("runs", output, "--format", "json").stdout)
    assert (run["endpoint"], run["status"]) == ("apply", "failed")


def test_no_such_place(tesseract_cli: Cli, tmp_path: Path) -> None:
    done = tesseract_cli("runs", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not a directory" in done.stderr
