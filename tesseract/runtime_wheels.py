"""The runtime as installable files, made from what is installed here, without a build tool and without a network.

Two wheels: `tesseract-runtime`, the package `tesseract_core` as it is on this host, and `tesseract-core`, which holds
nothing but its name and version, so that no resolver ever fetches another distribution of that name over our files.
"""

from __future__ import annotations

import base64
import hashlib
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import tesseract_core
from tesseract_core._version import __version__

_TAG = "py3-none-any"


def write_wheels(directory: Path) -> list[Path]:
    """Write both wheels into a directory and return their paths."""
    project = tomllib.loads(_pyproject().read_text())["project"]
    scripts = "\n".join(f"{name} = {target}" for name, target in project["scripts"].items())
    return [
        _write_wheel(
            directory,
            "tesseract-runtime",
            requires=[*project["dependencies"], f"tesseract-core=={__version__}"],
            files={f"tesseract_core/{path.as_posix()}": source.read_bytes() for path, source in _package_files()},
            entry_points=f"[console_scripts]\n{scripts}\n",
        ),
        _write_wheel(directory, "tesseract-core", requires=[], files={}),
    ]


def digest() -> str:
    """Changes whenever the runtime does."""
    total = hashlib.sha256(_pyproject().read_bytes())
    for path, source in _package_files():
        total.update(path.as_posix().encode() + b"\0" + hashlib.sha256(source.read_bytes()).digest())
    return total.hexdigest()


def _package_files() -> Iterator[tuple[Path, Path]]:
    root = Path(tesseract_core.__file__).parent
    for source in sorted(root.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            yield source.relative_to(root), source


def _pyproject() -> Path:
    beside = Path(tesseract_core.__file__).parent.parent / "pyproject.toml"  # a checkout
    return beside if beside.exists() else Path(__file__).parent / "_containers" / "runtime" / "pyproject.toml"


def _write_wheel(
    directory: Path, name: str, *, requires: list[str], files: dict[str, bytes], entry_points: str = ""
) -> Path:
    stem = f"{name.replace('-', '_')}-{__version__}"
    info = f"{stem}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {__version__}", "Requires-Python: >=3.11"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    files = {
        **files,
        f"{info}/METADATA": ("\n".join(metadata) + "\n").encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tesseract\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode(),
    }
    if entry_points:
        files[f"{info}/entry_points.txt"] = entry_points.encode()
    record = "".join(f"{path},sha256={_hash(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = directory / f"{stem}-{_TAG}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return wheel


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
