"""Tesseracts in the manner of what people publish: built with the installed command, and called in both ways."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

PROJECTS = Path(__file__).resolve().parent.parent / "journeys" / "foreign"


@dataclass(frozen=True)
class Foreign:
    """A Tesseract whose image is built."""

    name: str
    folder: Path
    cli: Callable[..., subprocess.CompletedProcess[str]]

    def payload(self, value: Any) -> str:
        """The payload as a file, as the command line takes it."""
        path = self.folder / "payload.json"
        path.write_text(json.dumps(value, default=np.ndarray.tolist))
        return f"@{path}"

    def run(self, endpoint: str, payload: Any, *options: str | Path) -> Any:
        """Result of `tesseract run`, with arrays as NumPy arrays; it must succeed."""
        done = self.cli("run", *options, self.name, endpoint, self.payload(payload), cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return arrays(json.loads(done.stdout))


def copy_project(name: str, folder: Path) -> Path:
    """A copy of the project in `folder`, with the requirements that foreign Tesseracts share unless it has its own."""
    project = folder / name
    shutil.copytree(PROJECTS / name, project, ignore=shutil.ignore_patterns("__pycache__", "test_*"))
    requirements = project / "tesseract_requirements.txt"
    if not requirements.exists():
        shared = (PROJECTS / "requirements.txt").read_text()
        requirements.write_text(shared.format(scikit_learn=version("scikit-learn")))
    return project


def arrays(value: Any) -> Any:
    """The same tree with JSON-encoded arrays as NumPy arrays."""
    if isinstance(value, list):
        return [arrays(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("object_type") == "array":
        return np.array(value["data"]["buffer"], dtype=value["dtype"]).reshape(value["shape"])
    return {key: arrays(item) for key, item in value.items()}
