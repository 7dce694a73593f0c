"""Directories that live as long as the object that uses them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path


def temporary_directory(owner: object, prefix: str, parent: str | None = None) -> Path:
    """Make a directory that is removed with `owner` (garbage collection or interpreter exit)."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent)).resolve()
    weakref.finalize(owner, _remove, path, os.getpid())
    return path


def _remove(path: Path, maker: int) -> None:
    if os.getpid() == maker:  # a forked child has a copy of the object; what belongs to it is still its parent's
        shutil.rmtree(path, ignore_errors=True)
