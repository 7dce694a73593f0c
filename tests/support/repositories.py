"""Git repositories that Python packages are installed from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from support.builds import write_package

_ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


def write_repository(folder: Path, name: str) -> Path:
    """A bare repository `name.git` with the Python package `name`, which plain file servers can offer, too."""
    source, bare = write_package(folder / name, name), folder / f"{name}.git"
    _git(source, "init", "--quiet", "--initial-branch=main")
    _git(source, "add", ".")
    _git(source, "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "First")
    _git(folder, "clone", "--quiet", "--bare", str(source), str(bare))
    _git(bare, "update-server-info")
    return bare


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, env={**os.environ, **_ENVIRONMENT})
