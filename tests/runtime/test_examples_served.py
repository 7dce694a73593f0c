"""Helpers behind a real server: what a request may make it read, import or call."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@contextlib.contextmanager
def served(api: Path, folder: Path, **environment: str) -> Iterator[Any]:
    """Run `tesseract-runtime serve`; yields a function that posts a payload and returns status and body."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {key: value for key, value in os.environ.items() if not key.startswith("TESSERACT_")}
    env |= {"TESSERACT_API_PATH": str(api), "TESSERACT_OUTPUT_PATH": str(folder), **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "tesseract_core.runtime", "serve", "--port", str(port)],
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )

    def post(endpoint: str, payload: Any) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{port}/{endpoint}"
        request = urllib.request.Request(url, json.dumps(payload).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.loads(reply.read())
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"the server did not start: {process.communicate()[1].decode()}")
            time.sleep(0.1)
        yield post
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_lazy_sequences_stay_below_the_input_path(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("[[1.0, 2.0, 3.0]]")
    inputs = str(EXAMPLES / "dataloader" / "testdata")
    with served(EXAMPLES / "dataloader" / "tesseract_api.py", tmp_path, TESSERACT_INPUT_PATH=inputs) as post:
        status, body = post("apply", {"inputs": {"data": "@sample_*.json"}})
        assert (status, body["count"]) == (200, 4)
        for pattern in (f"@{tmp_path}/*.json", "@../*.json", "@http://127.0.0.1:1/x.json", "@file:///etc/hosts"):
            status, body = post("apply", {"inputs": {"data": pattern}})
            assert status == 422, body
            assert inputs not in body
        # The working directory is for whoever started the server.
        status, body = post("apply", {"inputs": {"data": "@secret.json"}})
        assert status == 500


def test_references_need_leave(tmp_path: Path) -> None:
    api = tmp_path / "tesseract_api.py"
    api.write_text(
        "from pydantic import BaseModel\n"
        "from tesseract_core.runtime.experimental import TesseractReference\n"
        "class InputSchema(BaseModel):\n    helper: TesseractReference\n"
        "class OutputSchema(BaseModel):\n    greeting: str\n"
        "def apply(inputs):\n    return inputs.helper.apply({'name': 'Ada'})\n"
    )
    hello = EXAMPLES / "helloworld" / "tesseract_api.py"
    payload = {"inputs": {"helper": {"type": "api_path", "ref": str(hello)}}}
    with served(api, tmp_path) as post:
        status, body = post("apply", payload)
        assert status == 422
        assert "TESSERACT_ALLOWED_REFERENCES" in body
        assert post("apply", {"inputs": {"helper": {"type": "url", "ref": "http://127.0.0.1:1"}}})[0] == 422
    with served(api, tmp_path, TESSERACT_ALLOWED_REFERENCES="url,api_path") as post:
        assert post("apply", payload) == (200, {"greeting": "Hello Ada!"})


def test_test_cases_import_nothing(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    with served(EXAMPLES / "helloworld" / "tesseract_api.py", tmp_path, TESSERACT_DEBUG="1") as post:
        case = json.loads((EXAMPLES / "helloworld" / "test_cases" / "test_osborne.json").read_text())
        assert post("test", case) == (200, {"status": "passed", "message": "", "endpoint": "apply"})
        bad = {"endpoint": "apply", "payload": {"inputs": {"name": "x"}}, "expected_exception": "planted.Error"}
        status, verdict = post("test", bad)
        assert (status, verdict["status"]) == (200, "failed")
        assert post("test", {"endpoint": "apply", "payload": {}})[0] == 422
    assert not (tmp_path / "marker").exists()
