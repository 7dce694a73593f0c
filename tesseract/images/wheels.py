"""Wheels made by hand: the runtime as it is installed here, and a `tesseract-core` that is nothing but its metadata.

A wheel is a zip file with three text files beside the package (PEP 427). Making it here means that no image build ever
needs a build backend, and that the same sources give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
_SKIPPED = {"__pycache__"}


def write_wheel(
    folder: Path,
    distribution: str,
    version: str,
    requires: Iterable[str] = (),
    packages: Iterable[Path] = (),
    scripts: Mapping[str, str] | None = None,
    summary: str = "",
) -> Path:
    """Write a pure Python wheel.

    Args:
        folder: Where to put it.
        requires: Requirement lines.
        packages: Package folders to include.
        scripts: Console scripts (`name` → `module:function`).

    Returns:
        Path of the wheel.
    """
    name = distribution.replace("-", "_")
    info = f"{name}-{version}.dist-info"
    files: dict[str, bytes] = {}
    for package in packages:
        for path in sorted(package.rglob("*")):
            if path.is_file() and not _SKIPPED.intersection(path.parts):
                files[f"{package.name}/{path.relative_to(package)}"] = path.read_bytes()
    metadata = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    metadata += [f"Summary: {summary}"] if summary else []
    metadata += ["Requires-Python: >=3.11", *(f"Requires-Dist: {requirement}" for requirement in requires), ""]
    files[f"{info}/METADATA"] = "\n".join(metadata).encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: tesseract\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if scripts:
        lines = ["[console_scripts]", *(f"{script} = {target}" for script, target in scripts.items()), ""]
        files[f"{info}/entry_points.txt"] = "\n".join(lines).encode()
    record = "".join(f"{path},{_digest(data)},{len(data)}\n" for path, data in files.items()) + f"{info}/RECORD,,\n"
    files[f"{info}/RECORD"] = record.encode()

    target = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path_in_wheel, data in files.items():
            entry = zipfile.ZipInfo(path_in_wheel, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return target


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
