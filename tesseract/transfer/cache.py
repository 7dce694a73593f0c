"""Look at what has been fetched from URLs, and clean it up."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tesseract.transfer.fetch import COMPLETE, URL_FILE, cache_dir, size_of


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


def entries(cache: Path | None = None) -> list[Entry]:
    """What the cache holds, last used first."""
    found = [_entry(path) for path in (cache or cache_dir()).glob("*/*") if path.is_dir()]
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def clear(cache: Path | None = None) -> int:
    """Empty the cache. Returns the number of bytes freed."""
    place = cache or cache_dir()
    freed = size_of(place)
    shutil.rmtree(place, ignore_errors=True)
    return freed


def _entry(path: Path) -> Entry:
    mark = path.with_name(path.name + COMPLETE)
    url = path.parent / URL_FILE
    used = datetime.fromtimestamp((mark if mark.exists() else path).stat().st_mtime)
    return Entry(
        url=url.read_text() if url.exists() else "",
        path=path,
        size=size_of(path),
        used=used.isoformat(timespec="seconds"),
        complete=mark.exists(),
    )
