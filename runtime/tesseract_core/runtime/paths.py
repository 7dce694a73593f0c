"""One rule for every path that comes from outside: it stays below its directory, symbolic links followed.

Run ids, path types, binref buffers and `LazySequence` patterns all end here, so there is one place to audit.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_RUN_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def confine(path: str | os.PathLike[str], root: str | os.PathLike[str], *, what: str = "path") -> Path:
    """Resolve `path` below `root`.

    Args:
        path: Relative to `root`, or absolute.
        root: The directory that must contain the result.
        what: How to call the path in the error message.

    Returns:
        The absolute path with all symbolic links followed. It need not exist.

    Raises:
        ValueError: The path leaves `root`. The message repeats the path as it was given and not where it leads, so
            that it may be shown to a client.
    """
    try:
        base = os.path.realpath(root)
        target = os.path.realpath(os.path.join(base, path))
    except ValueError:  # an embedded null byte
        raise ValueError(f"{what} {os.fspath(path)!r} is not a valid path") from None
    if target != base and not target.startswith(base.rstrip(os.sep) + os.sep):
        raise ValueError(f"{what} {os.fspath(path)!r} leads outside of its directory; give a path below it")
    return Path(target)


def safe_run_id(text: str) -> str:
    """Return `text` if it can name a run directory.

    Raises:
        ValueError: It is not one plain path component of 1 to 128 letters, digits, dots, dashes or underscores.
    """
    if not _RUN_ID.fullmatch(text) or text in {".", ".."}:
        raise ValueError(
            "a run id consists of 1 to 128 letters, digits, dots, dashes or underscores, and is not '.' or '..'"
        )
    return text
