"""Which mounts a container needs besides those that were asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tesseract.backends.spec import Mount

MOUNTINFO = Path("/proc/self/mountinfo")


def with_nested(mounts: Iterable[Mount], mountinfo: str) -> tuple[Mount, ...]:
    """Add a read-only bind for every file system that is mounted below the source of a read-only bind.

    A read-only bind is not recursive: a file system mounted below its source stays writable, and engines of
    today offer no option against it. So each mount point gets a read-only bind of its own.

    Args:
        mounts: What was asked for.
        mountinfo: Text of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

    Returns:
        All mounts; those added follow the one they belong to, parents first.
    """
    points = _mount_points(mountinfo)
    mounts = tuple(mounts)
    explicit = {mount.target for mount in mounts}
    result: list[Mount] = []
    for mount in mounts:
        result.append(mount)
        if mount.kind != "bind" or not mount.read_only:
            continue
        source = PurePosixPath(mount.source)
        for point in points:
            if point == source or not point.is_relative_to(source):
                continue
            target = str(PurePosixPath(mount.target) / point.relative_to(source))
            if target not in explicit:
                result.append(replace(mount, source=str(point), target=target))
    return tuple(result)


def resolved(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Follow symbolic links in the sources of binds: mount points are listed by their real paths."""
    return tuple(
        replace(mount, source=os.path.realpath(mount.source)) if mount.kind == "bind" else mount for mount in mounts
    )


def _mount_points(mountinfo: str) -> list[PurePosixPath]:
    points = {PurePosixPath(_unescape(line.split(" ")[4])) for line in mountinfo.splitlines() if line.strip()}
    return sorted(points)


def _unescape(field: str) -> str:
    """Undo the kernel's octal escapes of space, tab, newline and backslash."""
    for escape, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(escape, char)
    return field
