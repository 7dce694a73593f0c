"""`logs/run.json`: what a run's directory says about the run itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tesseract_core import Tesseract
from tesseract_core.runtime.config import override_config
from tesseract_core.runtime.mpa import log_metric, serve_run, start_run

pytestmark = pytest.mark.fast

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def output_path(tmp_path: Path) -> Any:
    with override_config({"output_path": str(tmp_path / "out")}):
        yield tmp_path / "out"


def record(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "logs/run.json").read_text()))


def test_a_served_run(output_path: Path) -> None:
    with serve_run("abc", named=True, endpoint="apply"):
        assert not (output_path / "run_abc/logs/run.json").exists()
    written = record(output_path / "run_abc")
    assert list(written) == ["run_id", "endpoint", "started", "seconds", "status"]
    assert (written["run_id"], written["endpoint"], written["status"]) == ("abc", "apply", "succeeded")
    assert 0 <= written["seconds"] < 60
    assert (datetime.now() - datetime.fromisoformat(written["started"])).total_seconds() < 60
    assert [path.name for path in (output_path / "run_abc/logs").glob(".*")] == []


def test_a_failed_run(output_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), serve_run("raises", named=True, endpoint="apply"):
        raise ZeroDivisionError
    with serve_run("marked", named=True, endpoint="apply") as run:
        run.fail()
    assert [record(output_path / f"run_{name}")["status"] for name in ("raises", "marked")] == ["failed", "failed"]


def test_no_directory_because_of_the_record(output_path: Path) -> None:
    with serve_run("silent", named=False, endpoint="apply"):
        pass
    assert not output_path.exists()
    with serve_run("measures", named=False, endpoint="apply"):
        log_metric("m", 1)
    assert record(output_path / "run_measures")["status"] == "succeeded"


def test_a_run_id_used_again_forgets_the_old_record(output_path: Path) -> None:
    with serve_run("abc", named=True, endpoint="jacobian"):
        pass
    with serve_run("abc", named=True, endpoint="apply"):
        assert not (output_path / "run_abc/logs/run.json").exists()
    assert record(output_path / "run_abc")["endpoint"] == "apply"


def test_a_run_of_a_program(tmp_path: Path) -> None:
    with start_run(tmp_path / "mine"):
        pass
    assert (record(tmp_path / "mine")["run_id"], record(tmp_path / "mine")["endpoint"]) == (None, None)


def test_a_tesseract_in_this_process(tmp_path: Path) -> None:
    tesseract = Tesseract.from_tesseract_api(EXAMPLES / "vectoradd/tesseract_api.py", output_path=tmp_path)
    tesseract.apply({"a": [1.0], "b": [2.0]}, run_id="one")
    assert (record(tmp_path / "run_one")["run_id"], record(tmp_path / "run_one")["endpoint"]) == ("one", "apply")


API = """
from pydantic import BaseModel


class InputSchema(BaseModel):
    n: int


class OutputSchema(BaseModel):
    n: int


def apply(inputs: InputSchema) -> OutputSchema:
    return OutputSchema(n=10 // inputs.n)
"""


@pytest.mark.parametrize(("n", "status"), [(2, "succeeded"), (0, "failed")])
def test_a_command(tmp_path: Path, n: int, status: str) -> None:
    api, output = tmp_path / "tesseract_api.py", tmp_path / "output"
    api.write_text(API)
    environ = {**os.environ, "TESSERACT_API_PATH": str(api), "TESSERACT_OUTPUT_PATH": str(output)}
    command = [sys.executable, "-m", "tesseract_core.runtime", "apply", json.dumps({"inputs": {"n": n}})]
    subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False)
    written = record(output)
    assert (written["run_id"], written["endpoint"], written["status"]) == (None, "apply", status)
