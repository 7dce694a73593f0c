"""Finding what images are made of in any kind of installation: checkout, editable install, wheel."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import tesseract
from tesseract import proc
from tesseract.errors import UserError


def containers_dir() -> Path:
    """The folder `containers/`: inside the package where that was installed from a wheel, else in the checkout."""
    package = Path(tesseract.__file__).resolve().parent
    for folder in (package / "_containers", package.parent / "containers"):
        if (folder / "image").is_dir():
            return folder
    raise UserError(f"The installation below {package} lacks the folder 'containers'. Install tesseract-core again.")


@dataclass(frozen=True)
class Runtime:
    """The runtime distribution that is installed here.

    Attributes:
        package: Folder `tesseract_core`.
        version: Version of the host tool and of the runtime.
        requires: Its requirement lines.
        scripts: Its console scripts.
    """

    package: Path
    version: str
    requires: tuple[str, ...]
    scripts: dict[str, str]


@functools.cache
def runtime() -> Runtime:
    """The runtime that images get: always the one beside the host tool, never one from an index."""
    import tesseract_core

    package = Path(tesseract_core.__file__).resolve().parent
    for project in (containers_dir() / "runtime/pyproject.toml", package.parent / "pyproject.toml"):
        if project.is_file():
            break
    else:
        raise UserError(f"No pyproject.toml of the runtime was found beside {package}. Install tesseract-core again.")
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    return Runtime(package, tesseract_core.__version__, tuple(table["dependencies"]), dict(table["scripts"]))


def uv_binary() -> Path:
    """The `uv` program that installs Python packages, here and in image builds. Raises: UserError."""
    try:
        import uv

        return Path(uv.find_uv_bin()).resolve()
    except (ImportError, FileNotFoundError) as error:
        raise UserError("The program uv was not found. Install it with `pip install uv`.") from error


def fetch_uv(platform: str, target: Path) -> None:
    """Put the `uv` program for another platform at `target`. Raises: UserError where it cannot be had."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.split("/")[1] if "/" in platform else platform)
    if machine is None:
        raise UserError(f"build_config.target_platform: '{platform}' is not supported. Use linux/amd64 or linux/arm64.")
    if machine == os.uname().machine:
        shutil.copy2(uv_binary(), target)
        return
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".uv") as folder:
        uv = uv_binary()
        version = proc.run([str(uv), "--version"]).stdout.decode().split()[1]
        wheel = [f"--python-platform={machine}-manylinux2014", f"--target={folder}", "--no-deps", f"uv=={version}"]
        done = proc.run([str(uv), "pip", "install", *wheel], timeout=300)
        found = Path(folder) / "bin/uv"
        if done.returncode != 0 or not found.is_file():
            said = done.stderr.decode(errors="replace").strip()
            raise UserError(f"The program uv for {platform} could not be fetched: {said}")
        shutil.copy2(found, target)
