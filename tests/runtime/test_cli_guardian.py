"""A call on the command line that ends its process: somebody is left to say so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.fast

API = Path(__file__).parent / "apis" / "harm.py"
PATIENCE_S = 60


def call(directory: Path, how: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tesseract_core.runtime", "--output-path", str(directory)),
            *("apply", json.dumps({"inputs": {"how": how, **more}})),
        ],
        env={**os.environ, "TESSERACT_API_PATH": str(API)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_crash_is_told_and_recorded(tmp_path: Path) -> None:
    process = call(tmp_path, "segfault")
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout) == (139, "")
    assert "the last words\n" in stderr
    assert "Fatal Python error: Segmentation fault" in stderr
    assert stderr.endswith("Error: apply died (crashed: segmentation fault)\n")
    assert (tmp_path / "logs/tesseract.log").read_text() == "the last words\n"
    record = json.loads((tmp_path / "logs/run.json").read_text())
    assert (record["run_id"], record["endpoint"], record["status"]) == (None, "apply", "failed")
    assert record["reason"] == "crashed: segmentation fault"


def test_an_end_without_a_result_is_no_success(tmp_path: Path) -> None:
    process = call(tmp_path, "exit")
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stdout) == (1, "")
    assert stderr == "Error: apply died (exited with status 0)\n"
    assert json.loads((tmp_path / "logs/run.json").read_text())["status"] == "failed"


def test_a_run_that_ends_well_is_the_childs_own_affair(tmp_path: Path) -> None:
    process = call(tmp_path, "nothing")
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, stderr) == (0, "")
    assert json.loads(stdout)["pid"] != process.pid
    assert json.loads((tmp_path / "logs/run.json").read_text())["status"] == "succeeded"


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_signals_reach_the_call(tmp_path: Path, number: signal.Signals, status: int) -> None:
    note = tmp_path / "pids"
    process = call(tmp_path, "wait_for_signal", path=str(note))
    eventually(lambda: note.exists() and note.read_text().endswith("\n"))
    child = int(note.read_text())
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == status
    eventually(lambda: not running(child))
