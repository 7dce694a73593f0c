"""The cache of what has been fetched from URLs: what it holds, and how it stays within its limit.

<cache>/<hash of a URL>/url                 the URL, without credentials
                        lock                held while an entry is made or removed
                        <entry>/            a state of the data, never changed once it is complete
                        <entry>.complete    says that it is; holds its size, and was touched when it was used last
                        <entry>.json        names, sizes and versions
                        <entry>.parts/      files of an entry that is not complete
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tesseract import dirs
from tesseract.errors import InvalidValue

logger = logging.getLogger("tesseract")

DEFAULT_LIMIT = 20 * 1000**3
"""Bytes that the cache may take; `TESSERACT_CACHE_LIMIT` says otherwise."""
RECENT = 3600.0
"""Seconds for which an entry that was used is never evicted: a container that mounts it may be about to be made."""
URL_FILE = "url"

InUse = Callable[[], Collection[Path]]
"""Tells which entries must not be evicted."""


@dataclass(frozen=True)
class Entry:
    """One state of the data at a URL.

    Attributes:
        url: Without credentials; empty if unknown.
        path: Directory with the files.
        size: Bytes; what two entries of a URL share counts for both.
        used: When it was used last, in local time, ISO 8601.
        complete: Whether all of it has arrived.
    """

    url: str
    path: Path
    size: int
    used: str
    complete: bool


def cache_dir() -> Path:
    """Where fetched data is kept."""
    return dirs.cache_dir("inputs")


def cache_limit() -> int:
    """How many bytes the cache may take. Raises: InvalidValue."""
    text = os.environ.get("TESSERACT_CACHE_LIMIT")
    try:
        return int(text) if text else DEFAULT_LIMIT
    except ValueError:
        raise InvalidValue(f"TESSERACT_CACHE_LIMIT={text}: must be a number of bytes.") from None


def mark_of(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}.complete")


def parts_of(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}.parts")


def manifest_of(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}.json")


def is_complete(entry: Path) -> bool:
    return mark_of(entry).exists() and entry.is_dir()


def entries(cache: Path | None = None) -> list[Entry]:
    """What the cache holds, last used first."""
    found = [_entry(path) for path in (cache or cache_dir()).glob("*/*") if path.is_dir() and path.suffix != ".parts"]
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def clear(cache: Path | None = None) -> int:
    """Empty the cache; a warning says what of it could not be removed. Returns the number of bytes freed."""
    place = cache or cache_dir()
    before = size_of(place)
    shutil.rmtree(place, ignore_errors=True)
    left = size_of(place)
    if place.exists():
        logger.warning("Not all of %s could be removed: %s bytes are left. Check who owns it.", place, left)
    return before - left


def evict(cache: Path, in_use: InUse = tuple, limit: int | None = None) -> None:
    """Remove the entries that were not used for the longest time until the cache is within its limit."""
    if limit is None:
        limit = cache_limit()
    found = entries(cache)
    total = sum(entry.size for entry in found)
    if total <= limit:
        return
    kept = in_use()
    for entry in reversed(found):
        if total <= limit:
            return
        if entry.path not in kept and remove(entry.path):
            total -= entry.size


@contextmanager
def locked(home: Path, *, wait: bool = True) -> Iterator[bool]:
    """Keep other commands from changing what there is of a URL. Yields whether that worked; it does if we wait."""
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            logger.info("Waiting for another command that fetches the same")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        yield True


def size_of(directory: Path) -> int:
    """Bytes of the files below a directory, which may be changing."""
    size = 0
    for path in directory.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size if path.is_file() else 0
    return size


def _entry(path: Path) -> Entry:
    complete = is_complete(path)
    return Entry(
        url=_url(path.parent / URL_FILE),
        path=path,
        size=_noted_size(path) or size_of(path) + size_of(parts_of(path)),
        used=datetime.fromtimestamp(_used(path)).isoformat(timespec="seconds"),
        complete=complete,
    )


def _url(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as problem:
        logger.warning("%s is damaged and passed over: %s", file, problem)
        return ""


def _noted_size(entry: Path) -> int:
    try:
        return max(0, int(mark_of(entry).read_text()))
    except (OSError, ValueError):
        return 0


def _used(entry: Path) -> float:
    """When an entry was used, or something arrived for it; 0 if it is gone."""
    marks = [mark] if (mark := mark_of(entry)).exists() else [entry, parts_of(entry), *parts_of(entry).glob("*")]
    times = [0.0]
    for path in marks:
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def is_recent(entry: Path) -> bool:
    """Whether an entry was used so lately that it is not removed."""
    return time.time() - _used(entry) < RECENT


def remove(entry: Path) -> bool:
    """Remove an entry, unless it is recent, or somebody works on it."""
    try:
        with locked(entry.parent, wait=False) as held:
            if not held or is_recent(entry):
                return False
            mark_of(entry).unlink(missing_ok=True)
            for path in (entry, parts_of(entry)):
                shutil.rmtree(path, ignore_errors=True)
            manifest_of(entry).unlink(missing_ok=True)
            return not entry.exists()
    except OSError:  # it is gone, or not ours
        return False
