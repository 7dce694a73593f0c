"""Read what somebody else wrote: the files that a container left in a directory of the caller's.

There may be anything in it: links to the caller's own files, pipes that never answer, files without end, a million
names. So: regular files only, no link followed below the directory, everything bounded. What is not read is told, so
that the reader can say so. (Text that would steer a terminal is shown by `visible`.)
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader

StrPath = str | os.PathLike[str]

DEEPEST = 64
"""Levels of directories that `files` descends."""

_BY_DESCRIPTOR = os.open in os.supports_dir_fd  # not on Windows
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # opening a pipe waits for its other end
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a directory",
}
_OTHER_KIND = "no regular file"
KINDS = frozenset((*_KINDS.values(), _OTHER_KIND))
"""What is said about something that is never read. Other reasons are about a directory that was not looked into."""

Told = Callable[[str, str], object]
"""Called with the name of something that is passed over, and why."""


class Unfit(OSError):
    """It is there, but nothing that is read: a link, a pipe, a device, or too large. `strerror` says what it is."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(errno.EINVAL, what, name)


@dataclass(frozen=True)
class Found:
    """Something in a directory.

    Attributes:
        name: Relative to where the search began, with `/` between directories.
        state: What `lstat` says about it.
    """

    name: str
    state: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.state.st_mode)


def open_regular(root: StrPath, name: str) -> BufferedReader:
    """Open a regular file for reading.

    Args:
        root: A directory of the caller's choice; it may be reached through links.
        name: The file, relative to `root`; no component of it may be a link.

    Raises:
        Unfit: It, or a directory on the way, is a link; or it is no regular file; or `name` leads out of `root`.
        OSError: It is not there, or cannot be opened.
    """
    *parents, last = _parts(name)
    with _opened(root, parents) as directory:
        _require_regular(_lstat(directory, last), name)
        descriptor = _open(directory, last, _NO_WAIT)
        try:
            _require_regular(os.fstat(descriptor), name)  # it may have been exchanged meanwhile
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise


def read_regular(root: StrPath, name: str, at_most: int) -> bytes:
    """The content of a regular file; see `open_regular`.

    Raises:
        Unfit: It has more than `at_most` bytes, too.
    """
    with open_regular(root, name) as file:
        content = file.read(at_most + 1)
    if len(content) > at_most:
        raise Unfit(f"more than {at_most:,} bytes long", name)
    return content


def listed(root: StrPath, name: str, at_most: int, passed_over: Told | None = None) -> list[Found]:
    """What is in a directory, sorted by name; links, pipes and the like included, for the caller to judge.

    Args:
        root: As for `open_regular`.
        name: The directory relative to `root`; empty for `root` itself.
        at_most: How many entries are looked at; if there are more, `passed_over` is told.
        passed_over: Told about what is left out.

    Raises:
        OSError: As for `open_regular`, for a directory.
    """
    found: list[Found] = []
    with _opened(root, _parts(name) if name else []) as directory, os.scandir(directory) as entries:
        for entry in entries:
            if len(found) == at_most:
                _tell(passed_over, name or ".", f"more than {at_most:,} entries, the others are left out")
                break
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:  # its owner has removed it meanwhile
                continue
            found.append(Found(f"{name}/{entry.name}" if name else entry.name, state))
    return sorted(found, key=lambda entry: entry.name)


def files(root: StrPath, at_most: int, passed_over: Told | None = None, below: str = "") -> Iterator[Found]:
    """The regular files below a directory, directory by directory, sorted by name within each.

    Args:
        root: As for `open_regular`.
        at_most: How many entries are looked at in all.
        passed_over: Told about links, pipes and the like, about directories that cannot be read, and about what
            exceeds `at_most` or `DEEPEST`.
        below: The directory to begin at, relative to `root`.
    """
    left, waiting = at_most, [below]
    while waiting:
        directory = waiting.pop()
        if directory.count("/") >= DEEPEST:
            _tell(passed_over, directory, f"more than {DEEPEST} directories deep")
            continue
        try:
            entries = listed(root, directory, left + 1)
        except FileNotFoundError:  # its owner has removed it meanwhile
            continue
        except OSError as problem:
            _tell(passed_over, directory or ".", problem.strerror or str(problem))
            continue
        if len(entries) > left:
            _tell(passed_over, directory or ".", f"more than {at_most:,} entries in all, the others are left out")
            entries, waiting = [entry for entry in entries[:left] if not entry.is_directory], []
        left -= len(entries)
        waiting += [entry.name for entry in reversed(entries) if entry.is_directory]
        for entry in entries:
            if stat.S_ISREG(entry.state.st_mode):
                yield entry
            elif not entry.is_directory:
                _tell(passed_over, entry.name, what_it_is(entry.state))


@contextmanager
def socket_at(path: StrPath) -> Iterator[str]:
    """An address to connect to the Unix socket at `path`. A link there is not followed: it could lead to another one
    of the caller's.

    Raises:
        Unfit: It is no socket.
        OSError: It is not there, or cannot be looked at.
    """
    if not hasattr(os, "O_PATH"):  # Linux has it, and names of open files
        _require_socket(os.lstat(path), path)
        yield os.fspath(path)
        return
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _require_socket(os.fstat(descriptor), path)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def what_it_is(state: os.stat_result) -> str:
    """`a symbolic link`, `a named pipe`, …: what something that is not read is."""
    return _KINDS.get(stat.S_IFMT(state.st_mode), _OTHER_KIND)


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or "\0" in name:
        raise Unfit("not a name below its directory", name)
    return parts


@contextmanager
def _opened(root: StrPath, parts: list[str]) -> Iterator[int | str]:
    """A directory below `root`: a descriptor, so that nobody can exchange what is above it; on Windows its path."""
    if not _BY_DESCRIPTOR:
        path = os.fspath(root)
        for part in parts:
            path = os.path.join(path, part)
            _require_directory(os.lstat(path), path)
        yield path
        return
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC | _DIRECTORY)
    try:
        for part in parts:
            _require_directory(_lstat(descriptor, part), part)
            inner = _open(descriptor, part, _DIRECTORY)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _lstat(directory: int | str, name: str) -> os.stat_result:
    if isinstance(directory, str):
        return os.lstat(os.path.join(directory, name))
    return os.stat(name, dir_fd=directory, follow_symlinks=False)


def _open(directory: int | str, name: str, flags: int) -> int:
    if isinstance(directory, str):
        return os.open(os.path.join(directory, name), _FLAGS | flags)
    return os.open(name, _FLAGS | flags, dir_fd=directory)


def _require_regular(state: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise Unfit(what_it_is(state), name)


def _require_socket(state: os.stat_result, path: StrPath) -> None:
    if not stat.S_ISSOCK(state.st_mode):
        raise Unfit(f"{what_it_is(state)}, no socket", os.fspath(path))


def _require_directory(state: os.stat_result, name: str) -> None:
    if stat.S_ISLNK(state.st_mode):
        raise Unfit(what_it_is(state), name)
    if not stat.S_ISDIR(state.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)


def _tell(passed_over: Told | None, name: str, why: str) -> None:
    if passed_over is not None:
        passed_over(name, why)
