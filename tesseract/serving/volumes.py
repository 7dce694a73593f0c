"""The volume grammar `source:target[:mode]` and the rule that nothing is mounted twice."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from tesseract.backends.spec import Mount
from tesseract.errors import InvalidValue

_WINDOWS_DRIVE = re.compile(r"^[A-Za-z]:\\")


def parse_volume(spec: str, base_dir: Path | None = None) -> Mount:
    """One volume specification.

    A source with a `/` or a `.` in it is a path (relative ones start at `base_dir`, else at the working directory);
    anything else names a volume that the engine creates on demand. Without a mode the mount is read-only.

    Raises: InvalidValue.
    """
    if "\0" in spec or not _is_text(spec):
        raise InvalidValue(f"Invalid mount volume specification {spec!a}: no path and no volume has such a name.")
    drive = _WINDOWS_DRIVE.match(spec)
    head, rest = (spec[:2], spec[2:]) if drive else ("", spec)
    parts = rest.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise InvalidValue(
            f"Invalid mount volume specification {spec} (must be `/path/to/source:/path/totarget:(ro|rw)`)"
        )
    source, target = head + parts[0], parts[1]
    if not target.startswith("/"):
        raise InvalidValue(f"Invalid mount volume specification {spec}: the target {target} must be an absolute path.")
    mode = parts[2].split(",") if len(parts) == 3 else ["ro"]
    read_only = "ro" in mode
    options = tuple(word for word in mode if word not in ("ro", "rw"))
    if drive or "/" in source or "." in source:
        path = os.path.realpath(os.path.join(base_dir or Path.cwd(), os.path.expanduser(source)))
        return Mount("bind", path, target, read_only, options)
    return Mount("volume", source, target, read_only, options)


def _is_text(spec: str) -> bool:
    try:
        spec.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_sources(mounts: Iterable[Mount]) -> None:
    """Raises: InvalidValue if the source of a bind mount is not there."""
    for mount in mounts:
        if mount.kind == "bind" and not os.path.exists(mount.source):
            raise InvalidValue(f"Source path {mount.source} does not exist, please provide a valid local path.")


def check_unique(mounts: Iterable[Mount]) -> None:
    """Raises: InvalidValue if two mounts share a source or a target."""
    sources: set[str] = set()
    targets: set[str] = set()
    for mount in mounts:
        if mount.source in sources:
            raise InvalidValue(f"Path {mount.source} is already mounted as a volume, please provide a unique path.")
        target = os.path.normpath(mount.target)
        if target in targets:
            raise InvalidValue(f"Two volumes have the target {mount.target}, please give each its own.")
        targets.add(target)
        if mount.source:
            sources.add(mount.source)
