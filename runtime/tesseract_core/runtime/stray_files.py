"""Files that user code writes into its working directory, where that vanishes with the container: said, once each."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from tesseract_core.runtime.config import get_config

_MARKS = ("/run/.containerenv", "/.dockerenv")  # of Podman and Docker
_MOST_NAMES = 5


class StrayFiles:
    """Watches a directory for what is new in it, but for the way to `output_path`."""

    def __init__(self, directory: Path, output_path: Path) -> None:
        self._directory = directory
        self._known = {*os.listdir(directory), "__pycache__"}
        if output_path.is_relative_to(directory):
            self._known.add(output_path.relative_to(directory).parts[0])
        self._changed = os.stat(directory).st_mtime_ns

    def new(self) -> list[str]:
        """Names that were not there when this was called before, sorted."""
        changed = os.stat(self._directory).st_mtime_ns
        if changed == self._changed:
            return []
        self._changed = changed
        names = set(os.listdir(self._directory))
        new, self._known = names - self._known, self._known | names
        return sorted(new)


_watched: StrayFiles | None = None


def watch() -> None:
    """From now on, `report` says what is new in the working directory, if that is a container's own."""
    global _watched
    _watched = None
    with suppress(OSError):
        directory, output_path = Path.cwd(), Path(get_config().output_path).resolve()
        if _vanishes(directory) and not directory.is_relative_to(output_path):
            _watched = StrayFiles(directory, output_path)


def report() -> None:
    """Warn on stderr of files that are new since the last time."""
    if _watched is None:
        return
    try:
        names = _watched.new()
    except OSError:
        return
    if names:
        shown = ", ".join(map(repr, names[:_MOST_NAMES])) + (", …" if len(names) > _MOST_NAMES else "")
        print(
            f"WARNING: this call has written {shown} into its working directory, which vanishes with the container. "
            "What is to be kept belongs into get_config().output_path",
            file=sys.stderr,
        )


def _vanishes(directory: Path) -> bool:
    """Whether a directory is a container's own: neither a machine's nor mounted."""
    return any(map(os.path.exists, _MARKS)) and _device(directory) == _device(Path("/"))


def _device(path: Path) -> int:
    return path.stat().st_dev
