"""Environments with client packages that we did not write, installed beside this project as a user would.

They are kept in the user's cache directory, one per set of packages, because some take minutes to download.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tesseract_core._version import __version__

ROOT = Path(__file__).resolve().parents[2]


def python_with(*packages: str) -> Path:
    """The interpreter of an environment that holds this checkout and `packages` from the package index."""
    # These packages depend on the distribution name `tesseract-core`; the constraint keeps any other one out.
    constraint = f"tesseract-core=={__version__}"
    key = hashlib.sha256(repr((sys.version, constraint, str(ROOT), packages)).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tesseract-tests"
    environment = cache / f"peers-{key}"
    python, complete = environment / "bin" / "python", environment / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"peers-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            constraints = cache / f"peers-{key}.txt"
            constraints.write_text(f"{constraint}\n")
            _uv("venv", "--clear", "--python", sys.executable, str(environment))
            install = ("pip", "install", "--python", str(python), "--constraint", str(constraints))
            _uv(*install, "--editable", f"{ROOT}[runtime]", *packages)
            complete.touch()
    return python


def version(python: Path, distribution: str) -> str:
    """Version of a distribution in an environment."""
    code = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _uv(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "uv", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"uv {' '.join(arguments)}:\n{done.stderr}"
