"""Builds that were killed: how they are known, and what becomes of what they leave.

Each build has a mark. It is in the names of its temporary directories and, by way of the engine, on what the engine
makes for it. A file of that name below the cache directory is locked as long as the build's process lives; one that
nobody holds belongs to a build that was killed, and tells where its directories are.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tesseract.backends.base import Backend
from tesseract.backends.spec import BUILD_MARK
from tesseract.dirs import cache_dir


@dataclass(frozen=True)
class Unfinished:
    """A build that was killed.

    Attributes:
        mark: Its mark.
        directories: What is left of its temporary directories.
        record: The file that tells of it; None where only the engine knows of the build.
    """

    mark: str
    directories: tuple[Path, ...] = ()
    record: Path | None = None


def _records() -> Path:
    return cache_dir("builds")


@contextmanager
def begun() -> Iterator[str]:
    """The mark of a build that is going on, known to be until this ends, whichever way it does."""
    mark = BUILD_MARK + secrets.token_hex(8)
    path = _records() / mark
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        record = path.open("x")
    except OSError:  # nothing can be noted: a killed build then leaves what it leaves
        yield mark
        return
    with record:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(record, fcntl.LOCK_EX)
        json.dump({"host": socket.gethostname(), "temporary": tempfile.gettempdir()}, record)
        record.flush()
        try:
            yield mark
        finally:
            path.unlink(missing_ok=True)


def going_on() -> set[str]:
    """Marks of the builds that are going on, and of those of other machines."""
    killed = {build.mark for build in _killed()}
    return {path.name for path in _records().glob(f"{BUILD_MARK}*") if path.name not in killed}


def find(engine: Backend | None) -> list[Unfinished]:
    """The builds that were killed, as far as this machine and the engine know of them."""
    found = {build.mark: build for build in _killed()}
    if engine is not None:
        alive = going_on()
        for mark in engine.build_marks() - alive - found.keys():
            found[mark] = Unfinished(mark)
    return list(found.values())


def remove(build: Unfinished, engine: Backend | None) -> None:
    """End what is still going on of a killed build, and remove what it left."""
    if engine is not None:
        engine.end_build(build.mark)
    for directory in build.directories:
        shutil.rmtree(directory, ignore_errors=True)
    if build.record is not None:
        build.record.unlink(missing_ok=True)


def sweep(engine: Backend) -> None:
    """Remove what killed builds left: those that left a record, which costs nothing where none did."""
    for build in _killed():
        remove(build, engine)


def _killed() -> Iterator[Unfinished]:
    for path in sorted(_records().glob(f"{BUILD_MARK}*")):
        with suppress(OSError, ValueError), path.open() as record:
            fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its build lives
            noted = json.load(record)
            if noted["host"] == socket.gethostname():
                yield Unfinished(path.name, tuple(_directories(Path(noted["temporary"]), path.name)), path)


def _directories(temporary: Path, mark: str) -> Iterator[Path]:
    for path in temporary.glob(f"tesseract*.{mark}"):
        if path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.getuid():
            yield path
