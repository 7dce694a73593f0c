"""A conda channel and an installer of conda, made from what a package index offers."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path
from typing import Any

from support.builds import fetch

ROOT = Path(__file__).resolve().parents[2]

_INSTALLER = """#!/bin/sh
# An installer as Miniforge's: sh INSTALLER -b -p PREFIX
set -e
[ "$1 $2" = "-b -p" ] && prefix=$3
mkdir -p "$prefix"
tail -n +10 "$0" | tar -xz --no-same-owner -C "$prefix" --strip-components 1
{ echo "#!$prefix/bin/python3"; cat "$prefix/conda_program.py"; } >"$prefix/bin/conda"
chmod 755 "$prefix/bin/conda"
exit 0
"""


class Channel:
    """A channel below a folder; packages are added one by one.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._native = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}[platform.machine()]
        self._records: dict[str, dict[str, Any]] = {self._native: {}, "noarch": {}}
        for subdir in self._records:
            (folder / subdir).mkdir(parents=True)

    def add(self, name: str, version: str, content: Path, depends: tuple[str, ...] = (), noarch: bool = False) -> None:
        """Add a package with the files of a folder; those of a `noarch` one go to site-packages."""
        subdir = "noarch" if noarch else self._native
        index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": list(depends)}
        index |= {"subdir": subdir, **({"noarch": "python"} if noarch else {})}
        paths = sorted(path for path in content.rglob("*") if path.is_symlink() or path.is_file())
        prefix = "site-packages/" if noarch else ""
        entries = [
            {
                "_path": f"{prefix}{path.relative_to(content)}",
                "path_type": "softlink" if path.is_symlink() else "hardlink",
            }
            for path in paths
        ]
        archive = self.folder / subdir / f"{name}-{version}-0.tar.bz2"
        with tarfile.open(archive, "w:bz2", compresslevel=1) as tar:
            _text(tar, "info/index.json", json.dumps(index))
            _text(tar, "info/paths.json", json.dumps({"paths": entries, "paths_version": 1}))
            if noarch:
                link = {"noarch": {"type": "python"}, "package_metadata_version": 1}
                _text(tar, "info/link.json", json.dumps(link))
            for path, entry in zip(paths, entries, strict=True):
                tar.add(path, str(entry["_path"]), recursive=False)
        data = archive.read_bytes()
        digests = {"md5": hashlib.md5(data).hexdigest(), "sha256": hashlib.sha256(data).hexdigest()}
        self._records[subdir][archive.name] = {**index, **digests, "size": len(data)}
        repodata = {"info": {"subdir": subdir}, "packages": self._records[subdir]}
        (self.folder / subdir / "repodata.json").write_text(json.dumps(repodata))
        for other in self._records.keys() - {subdir}:
            if not self._records[other]:
                empty = {"info": {"subdir": other}, "packages": {}}
                (self.folder / other / "repodata.json").write_text(json.dumps(empty))

    def add_from_index(self, name: str, version: str, scratch: Path) -> None:
        """Add a pure Python package that the package index has."""
        fetch(scratch / name, "--no-deps", f"{name}=={version}")
        self.add(name, version, scratch / name, ("python",), noarch=True)


def write_installer(path: Path, interpreter: Path) -> None:
    """An installer of `conda` (`conda_program.py`), which brings its own Python, as Miniforge does."""
    (library,) = (interpreter / "lib").glob("python3.*")
    fetch(library / "site-packages", "py-rattler", "pyyaml")
    (interpreter / "conda_program.py").write_bytes((ROOT / "tests/support/conda_program.py").read_bytes())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        tar.add(interpreter, "conda")
    assert _INSTALLER.count("\n") == 9
    path.write_bytes(_INSTALLER.encode() + packed.getvalue())


def _text(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    tar.addfile(member, io.BytesIO(text.encode()))
