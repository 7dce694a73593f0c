"""The `tesseract-runtime` command in the directory of a Tesseract."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.runtime_cli import API, Run


@pytest.fixture
def api(tmp_path: Path) -> Path:
    path = tmp_path / "tesseract_api.py"
    path.write_text(API)
    return path


@pytest.fixture
def run(tmp_path: Path, api: Path) -> Run:
    """Run the command in the directory of a Tesseract; its output goes to `out`."""

    def run(
        *arguments: str, stdin: str | None = None, defaults: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TESSERACT_", "MLFLOW_")) and name != "COLUMNS"
        }
        output = ["--output-path", "out"] if defaults else []
        return subprocess.run(
            [sys.executable, "-m", "tesseract_core.runtime", *output, *arguments],
            cwd=tmp_path,
            env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            capture_output=True,
            text=True,
            input=stdin,
            timeout=120,
            check=False,
        )

    return run
