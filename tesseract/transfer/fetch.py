"""Fetch what stands below a URL into the cache.

A cache entry is a snapshot: it is named by the URL and by what the server listed, and never changes once it is
complete, because a container may have it mounted. A new version of the data is a new entry, in which unchanged files
are hard links. What an interrupted fetch has got already is taken up by the next one.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tesseract.errors import InvalidValue, UserError
from tesseract.transfer.progress import OnProgress
from tesseract.transfer.remote import RemoteFile, TransferError, listing, open_url, reason, without_credentials

DEFAULT_LIMIT = 20 * 1000**3
"""Bytes that the cache may take; `TESSERACT_CACHE_LIMIT` says otherwise."""
RECENT = 3600.0
"""Seconds for which an entry that was used is never evicted: a container that mounts it may be about to be made."""

InUse = Callable[[], Collection[Path]]
"""Tells which entries must not be evicted."""

URL_FILE = "url"
"""Beside the entries of a URL: the URL, without credentials."""
COMPLETE = ".complete"
"""Suffix of the mark of a complete entry; its time of modification is when the entry was used last."""

_CHUNK = 4 << 20


def cache_dir() -> Path:
    """Where fetched data is kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "tesseract" / "inputs"


def fetch(url: str, on_progress: OnProgress | None = None, cache: Path | None = None, in_use: InUse = tuple) -> Path:
    """Make the data below `url` available as a local directory.

    Args:
        url: Anything that fsspec reads: `s3://bucket/prefix`, `http://...`, `ftp://...`.
        on_progress: Told about what arrives.
        cache: Directory of the cache.
        in_use: Asked for the entries that containers mount, if the cache is too large.

    Returns:
        A directory that nobody changes any more.

    Raises:
        InvalidValue: No such kind of URL.
        TransferError: Nothing there, access denied, connection lost; what has arrived is kept for the next try.
        UserError: The cache cannot be written.
    """
    fs, root = open_url(url)
    files = listing(fs, root, url)
    place = cache or cache_dir()
    home = place / hashlib.sha256(url.encode()).hexdigest()[:16]
    entry = home / _digest(files)
    try:
        _bring(fs, url, files, entry, on_progress)
    except OSError as problem:
        raise UserError(
            f"The cache {place} cannot be written: {problem.strerror}. `tesseract cache` shows what it holds; "
            "XDG_CACHE_HOME moves it."
        ) from problem
    evict(place, lambda: {entry, *in_use()})
    return entry


def _bring(fs: Any, url: str, files: Sequence[RemoteFile], entry: Path, on_progress: OnProgress | None) -> None:
    """Complete an entry, unless it is complete already, and note that it is used."""
    home, mark = entry.parent, entry.with_name(entry.name + COMPLETE)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / URL_FILE).write_text(without_credentials(url))
    with _locked(home / "lock"):
        if not mark.exists():
            _fill(fs, url, files, entry, _previous(home), on_progress)
            mark.touch()
        os.utime(mark)


def cache_limit() -> int:
    """How many bytes the cache may take. Raises: InvalidValue."""
    text = os.environ.get("TESSERACT_CACHE_LIMIT")
    try:
        return int(text) if text else DEFAULT_LIMIT
    except ValueError:
        raise InvalidValue(f"TESSERACT_CACHE_LIMIT={text}: must be a number of bytes.") from None


def evict(cache: Path, in_use: InUse = tuple, limit: int | None = None) -> None:
    """Remove the entries that were not used for the longest time until the cache is within its limit."""
    if limit is None:
        limit = cache_limit()
    marks = sorted(cache.glob(f"*/*{COMPLETE}"), key=lambda mark: mark.stat().st_mtime)
    sizes = {mark: size_of(mark.with_name(mark.name.removesuffix(COMPLETE))) for mark in marks}
    total = sum(sizes.values())
    if total <= limit:
        return
    kept = in_use()
    for mark in marks:
        entry = mark.with_name(mark.name.removesuffix(COMPLETE))
        if total <= limit:
            return
        if entry in kept or time.time() - mark.stat().st_mtime < RECENT:
            continue
        mark.unlink()
        shutil.rmtree(entry, ignore_errors=True)
        total -= sizes[mark]


def _digest(files: Sequence[RemoteFile]) -> str:
    # Where the server does not say which version it has, nothing that we have can be known to be it.
    text = json.dumps([(file.name, file.size, file.version or secrets.token_hex()) for file in files])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _previous(home: Path) -> Path | None:
    """The newest complete snapshot, whose unchanged files need not be fetched again."""
    marks = sorted(home.glob(f"*{COMPLETE}"), key=lambda mark: mark.stat().st_mtime)
    return marks[-1].with_name(marks[-1].name.removesuffix(COMPLETE)) if marks else None


def _fill(
    fs: Any, url: str, files: Sequence[RemoteFile], entry: Path, previous: Path | None, on_progress: OnProgress | None
) -> None:
    known = _manifest(previous)
    sizes = [file.size for file in files]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    done = 0

    def report(name: str, got: int) -> None:
        if on_progress is not None:
            on_progress(name, done + got, total)

    for file in files:
        target = entry / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            if previous is not None and file.version and known.get(file.name) == [file.size, file.version]:
                os.link(previous / file.name, target)
            else:
                _download(fs, url, file, target, functools.partial(report, file.name))
        done += target.stat().st_size
        report(file.name, 0)
    manifest = {file.name: [file.size, file.version] for file in files}
    entry.with_name(f"{entry.name}.json").write_text(json.dumps(manifest))


def _manifest(entry: Path | None) -> dict[str, Any]:
    if entry is None:
        return {}
    try:
        return dict(json.loads(entry.with_name(f"{entry.name}.json").read_text()))
    except (OSError, ValueError):
        return {}


def _download(fs: Any, url: str, file: RemoteFile, target: Path, on_bytes: Callable[[int], object]) -> None:
    """Get one file by way of `NAME.part`, from where an earlier try ended; the entry's name pins the version."""
    part = target.with_name(target.name + ".part")
    known = file.resumable and file.version and file.size is not None
    got = part.stat().st_size if known and part.exists() else 0
    # Over HTTP, one stream: to read by blocks needs a server that knows ranges.
    options = {"block_size": 0} if file.path.startswith("http") and not got else {}
    try:
        with fs.open(file.path, "rb", **options) as source, part.open("ab" if got else "wb") as sink:
            if got:
                source.seek(got)
            while chunk := source.read(_CHUNK):
                sink.write(chunk)
                got += len(chunk)
                on_bytes(got)
    except Exception as problem:
        raise TransferError(
            f"'{file.name}' of '{without_credentials(url)}' could not be fetched: {reason(problem, url)}. "
            "What has arrived is kept; run the command again to go on."
        ) from problem
    if file.size is not None and got != file.size:
        part.unlink()
        raise TransferError(
            f"'{file.name}' of '{without_credentials(url)}' has {got} bytes instead of {file.size}: "
            "it changed meanwhile. Run the command again."
        )
    part.chmod(0o444)
    part.rename(target)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two commands that want the same data fetch it once."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def size_of(directory: Path) -> int:
    """Bytes of the files below a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
