"""Remove a directory that a container wrote to, whatever it left there."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

_BY_DESCRIPTOR = os.rename in os.supports_dir_fd and os.scandir in os.supports_fd  # not on Windows
_OPEN = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_ENTER = 0o700


def remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it. No link is followed, and nothing is done where it is not there.

    `shutil.rmtree` fails at directories that may not be entered or written to, and at those a thousand levels deep. So
    each directory is opened to its owner, and what is in it is moved up before it is removed.

    Raises: OSError if something stays, for example because it belongs to somebody else.
    """
    if not _BY_DESCRIPTOR:
        shutil.rmtree(directory)
        return
    try:
        _let_in(None, directory)
    except FileNotFoundError:
        return
    root = os.open(directory, _OPEN)
    try:
        taken = set(os.listdir(root))
        free = (spare for spare in map("moved-{}".format, count()) if spare not in taken)
        while names := os.listdir(root):
            for name in names:
                if not _unlinked(root, name):
                    _empty(root, name, free)
                    os.rmdir(name, dir_fd=root)
    finally:
        os.close(root)
    os.rmdir(directory)


def _unlinked(directory: int, name: str) -> bool:
    """Remove something that is no directory; tells whether it was."""
    try:
        os.unlink(name, dir_fd=directory)
    except (IsADirectoryError, PermissionError):  # which of them, depends on the system
        if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise
        return False
    return True


def _empty(root: int, name: str, free: Iterator[str]) -> None:
    """Remove the files of a directory in `root`, and move its directories to free names in `root`."""
    _let_in(root, name)
    directory = os.open(name, _OPEN, dir_fd=root)
    try:
        for entry in os.listdir(directory):
            if not _unlinked(directory, entry):
                _let_in(directory, entry)  # also to move it: its `..` is written
                os.rename(entry, next(free), src_dir_fd=directory, dst_dir_fd=root)
    finally:
        os.close(directory)


def _let_in(parent: int | None, name: str | Path) -> None:
    """Let the owner of a directory read and write it; `name` is relative to the open directory `parent`, if any."""
    if not hasattr(os, "O_PATH"):
        os.chmod(name, _ENTER, dir_fd=parent, follow_symlinks=False)
        return
    descriptor = os.open(name, os.O_PATH | _OPEN, dir_fd=parent)  # needs no permission, and is no link
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", _ENTER)
    finally:
        os.close(descriptor)
