"""Projects to build, and what is in the images that come out."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

API = """
from pydantic import BaseModel
class InputSchema(BaseModel): pass
class OutputSchema(BaseModel): pass
def apply(inputs: InputSchema) -> OutputSchema: return OutputSchema()
"""


def write_project(folder: Path, config: str, requirements: str = "", api: str = API) -> Path:
    """A project folder with the given files."""
    folder.mkdir(parents=True)
    (folder / "tesseract_api.py").write_text(api)
    (folder / "tesseract_config.yaml").write_text(config)
    if requirements:
        (folder / "tesseract_requirements.txt").write_text(requirements)
    return folder


def write_package(folder: Path, name: str, dependencies: str = "[]") -> Path:
    """A Python project `name` 0.1 whose module has `x = 1`; it is built by setuptools."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "0.1"\ndependencies = {dependencies}\n'
        f'[tool.setuptools]\npy-modules = ["{name}"]\n'
    )
    (folder / f"{name}.py").write_text("x = 1\n")
    return folder


def fetch(folder: Path, *requirements: str) -> None:
    """Install packages from the index into a folder, for the Python of the default base image."""
    words = ["pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder)]
    words += ["--python-version", "3.11", "--only-binary", ":all:", *requirements]
    subprocess.run([sys.executable, "-m", "uv", *words], check=True, timeout=300)
    (folder / ".lock").unlink(missing_ok=True)


def podman(*words: str | Path, input: str | None = None) -> str:
    """Output of a podman command that must succeed."""
    done = subprocess.run(["podman", *words], input=input, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inside(image: str, command: str, *options: str) -> str:
    """What a shell command prints in a fresh container of an image."""
    return podman("run", "--rm", *options, "--entrypoint", "sh", image, "-c", command)


def traces(image: str, texts: Sequence[str], *folders: Path) -> list[str]:
    """Which texts stand in a layer, the configuration or the history of an image, or below other folders."""
    control = "def apply(inputs"  # what every image of a Tesseract holds, to see that the search finds anything
    needles = [text.encode() for text in [*texts, control]]
    found = _contained(io.BytesIO(podman("history", "--no-trunc", image).encode()), needles)
    with subprocess.Popen(["podman", "save", "--quiet", image], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        found |= _contained(saving.stdout, needles)
    assert saving.returncode == 0
    assert control.encode() in found
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found |= _contained(file, needles)
    return [text for text in texts if text.encode() in found]


def _contained(file: IO[bytes], needles: Sequence[bytes]) -> set[bytes]:
    found, before = set(), b""
    while block := file.read(1 << 20):
        found |= {needle for needle in needles if needle in before + block}
        before = block[-max(map(len, needles)) :]
    return found
