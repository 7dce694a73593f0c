"""A Python of our own making, where those that uv and conda download cannot be had: Debian's, in one folder that works
at any place, with the layout and the paths of the official ones."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path
from typing import Any

from support.builds import podman

# Runs in a container of Debian. Debian's own places for packages (dist-packages) become the usual ones again.
_MAKE = r"""
set -e
apt-get update -qq
command -v python3 >/dev/null || apt-get install -qq --no-install-recommends python3 >/dev/null
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
cd /tmp
apt-get download -qq libpython$version-dev
dpkg -x libpython$version-dev*.deb headers
python=/out/python
mkdir -p $python/bin $python/lib $python/include
cp /usr/bin/python$version $python/bin/
ln -s python$version $python/bin/python3
ln -s python$version $python/bin/python
cp -r /usr/lib/python$version $python/lib/
cp -r headers/usr/include/python$version $python/include/
cp headers/usr/include/*-linux-gnu/python$version/pyconfig.h $python/include/python$version/
cd $python/lib/python$version
rm -rf EXTERNALLY-MANAGED sitecustomize.py __pycache__ test
mkdir -p site-packages
ln -s site-packages dist-packages
sed -i "s/'posix_local')/'posix_prefix')/; s/prefix_scheme = 'posix_local'/prefix_scheme = 'posix_prefix'/" sysconfig.py
echo 'made_for_a_test = True' >made_for_a_test.py
python3 -c 'import platform; print(platform.python_version())'
"""


def make_interpreter(image: str, folder: Path) -> str:
    """Make the interpreter in `folder/python`; returns its version.

    Args:
        image: A Debian image; the interpreter runs on it, if it has Python of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return podman("run", "--rm", "-v", f"{folder}:/out", image, "sh", "-c", _MAKE).split()[-1]


def download_metadata(version: str, archive: Path) -> dict[str, Any]:
    """What uv wants to know of interpreters that it can download; a mirror stands for the official place."""
    major, minor, patch = map(int, version.split("."))
    place = f"https://github.com/astral-sh/python-build-standalone/releases/download/{archive.parent.name}"
    entry = {
        "name": "cpython",
        "arch": {"family": platform.machine(), "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": f"{place}/{archive.name}",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
    }
    return {f"cpython-{version}-linux-{platform.machine()}-gnu": entry}
