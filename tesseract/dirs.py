"""Places of the user's that belong to the tool."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir(*parts: str) -> Path:
    """A directory below `$XDG_CACHE_HOME/tesseract` (`~/.cache/tesseract`) for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").joinpath("tesseract", *parts)
