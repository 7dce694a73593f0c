"""The Python environment of a project that is served from source: `.tesseract-venv` beside its `tesseract_api.py`."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tesseract import proc
from tesseract.errors import UserError
from tesseract.images import installed
from tesseract.images.wheels import write_wheel
from tesseract.settings import get_config

logger = logging.getLogger("tesseract")

DIRECTORY = ".tesseract-venv"
CONFIG_FILE = "tesseract_config.yaml"
CONDA_FILE = "tesseract_environment.yaml"
_STAMP = "tesseract-stamp"


@dataclass(frozen=True)
class _Recipe:
    """What an environment is made from."""

    provider: str = "uv-pip"
    requirements: str = "tesseract_requirements.txt"
    python_version: str | None = None

    def digest(self, project: Path, wheels: list[Path]) -> str:
        source = project / (CONDA_FILE if self.provider == "conda" else self.requirements)
        facts = [
            self.provider,
            self.python_version or sys.version,
            source.read_text() if source.exists() else "",
            *(hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels),
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def ensure_environment(project: Path) -> Path:
    """The interpreter of the project's environment, which is built first if it is missing or stale.

    Stale means that the project's requirements or their settings, or our runtime, have changed since it was built.
    Only one process builds at a time; others wait for it.

    Args:
        project: Directory of the `tesseract_api.py`.

    Raises:
        UserError: The environment cannot be built; the message holds what the installer said.
        ValidationError: The project's configuration is wrong.
    """
    environment = project / DIRECTORY
    python, stamp = environment / "bin" / "python", environment / _STAMP
    recipe = _recipe(project)
    with (
        _locked(project / f"{DIRECTORY}.lock"),
        tempfile.TemporaryDirectory(prefix="tesseract_runtime_") as staging,
    ):
        wheels = _runtime_wheels(Path(staging))
        digest = recipe.digest(project, wheels)
        if not (python.exists() and stamp.exists() and stamp.read_text() == digest):
            logger.info("Building the environment %s ...", environment)
            shutil.rmtree(environment, ignore_errors=True)
            _build(recipe, project, environment, [str(wheel) for wheel in wheels])
            stamp.write_text(digest)  # last: what was interrupted is built again
    return python


def _recipe(project: Path) -> _Recipe:
    if not (project / CONFIG_FILE).exists():
        return _Recipe()
    from tesseract.projects import load_config

    requirements = load_config(project).build_config.requirements
    if requirements.provider == "conda":
        return _Recipe(provider="conda")
    return _Recipe("uv-pip", requirements.requirements_file, requirements.python_version)


def _runtime_wheels(folder: Path) -> list[Path]:
    """The runtime as it is here, and the name `tesseract-core`, so that no other distribution of that name comes in."""
    runtime = installed.runtime()
    return [
        write_wheel(folder, "tesseract-runtime", runtime.version, runtime.requires, [runtime.package], runtime.scripts),
        write_wheel(folder, "tesseract-core", runtime.version, [f"tesseract-runtime=={runtime.version}"]),
    ]


def _build(recipe: _Recipe, project: Path, environment: Path, wheels: list[str]) -> None:
    install = [*_uv(), "pip", "install", "--python", str(environment / "bin" / "python")]
    if recipe.provider == "conda":
        conda = [*get_config().conda_executable, "env", "create", "--yes"]
        _run([*conda, "--prefix", str(environment), "--file", str(project / CONDA_FILE)], project)
        _run([*install, *wheels], project)
        return
    _run([*_uv(), "venv", "--python", recipe.python_version or sys.executable, str(environment)], project)
    requirements = project / recipe.requirements
    if not requirements.exists():
        _run([*install, *wheels], project)
    elif requirements.name.startswith("pylock."):
        # A lock file is installed as it is; a resolver takes nothing else beside it.
        _run([*install, "-r", str(requirements)], project)
        _run([*install, *wheels], project)
    else:
        _run([*install, *wheels, "-r", str(requirements)], project)


def _uv() -> tuple[str, ...]:
    words = get_config().uv_executable
    return words if shutil.which(words[0]) else (str(installed.uv_binary()),)


def _run(command: list[str], project: Path) -> None:
    # In the project's directory: relative paths in a requirements file start there.
    status, lines = proc.stream(command, logger.debug, cwd=project)
    if status:
        raise UserError(
            "Cannot build the environment of this Tesseract; correct its requirements, or give a python_executable:\n"
            + "\n".join(lines)
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        file = path.open("w")
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}. Give a python_executable instead.") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
