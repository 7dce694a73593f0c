"""Fetch what stands below a URL into the cache.

A cache entry is a snapshot: it is named by the URL and by what the server listed, and never changes once it is
complete, because a container may have it mounted. A new version of the data is a new entry, in which unchanged files
are hard links. What an interrupted fetch has got already is taken up by the next one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tesseract.errors import UserError
from tesseract.transfer.cache import (
    URL_FILE,
    InUse,
    cache_dir,
    cache_limit,
    evict,
    is_complete,
    locked,
    manifest_of,
    mark_of,
    parts_of,
)
from tesseract.transfer.download import download, in_groups, together
from tesseract.transfer.progress import OnProgress
from tesseract.transfer.remote import RemoteFile, TransferError, listing, open_url, without_credentials

logger = logging.getLogger("tesseract")


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
    limit = cache_limit()
    fs, root = open_url(url)
    files = listing(fs, root, url)
    place = cache or cache_dir()
    entry = place / _digest(url) / _digest(_versions(files))
    try:
        if not is_complete(entry):
            evict(place, in_use, limit - sum(file.size or 0 for file in files))
        _Fetch(fs, url, files, entry, on_progress).bring()
    except OSError as problem:
        raise UserError(
            f"The cache {place} cannot be written: {problem.strerror}. `tesseract cache --clear` empties it, "
            "XDG_CACHE_HOME moves it."
        ) from problem
    evict(place, lambda: {entry, *in_use()}, limit)
    return entry


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _versions(files: Sequence[RemoteFile]) -> list[tuple[str, int | None, str]]:
    # Where the server does not say which version it has, nothing that we have can be known to be it.
    return [(file.name, file.size, file.version or secrets.token_hex()) for file in files]


class _Fetch:
    """Makes one entry of the cache complete."""

    def __init__(
        self, fs: Any, url: str, files: Sequence[RemoteFile], entry: Path, on_progress: OnProgress | None
    ) -> None:
        self._fs = fs
        self._url = url
        self._files = files
        self._entry = entry
        self._on_progress = on_progress
        sizes = [file.size for file in files]
        self._total = None if None in sizes else sum(size for size in sizes if size is not None)
        self._done = 0

    def bring(self) -> None:
        """Complete the entry, unless it is complete already, and note that it is used."""
        home, mark = self._entry.parent, mark_of(self._entry)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(home):
            (home / URL_FILE).write_text(without_credentials(self._url))
            if not is_complete(self._entry):
                self._fill(_previous(home))
                manifest = {file.name: [file.size, file.version] for file in self._files}
                manifest_of(self._entry).write_text(json.dumps(manifest))
                shutil.rmtree(parts_of(self._entry), ignore_errors=True)
                mark.write_text(str(self._done))
            os.utime(mark)

    def _fill(self, previous: Path | None) -> None:
        self._entry.mkdir(exist_ok=True)
        parts_of(self._entry).mkdir(exist_ok=True)
        known = _manifest(previous)
        missing = []
        for file in self._files:
            target = self._entry / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            same = previous is not None and file.version and known.get(file.name) == [file.size, file.version]
            if target.exists() or (previous is not None and same and _linked(previous / file.name, target)):
                self._count(file)
            else:
                missing.append(file)
        for group in in_groups(missing, lambda file: file.size):
            arrived = together(self._fs, group, [self._part(file) for file in group])
            for file in group:
                if not arrived:
                    self._download(file)
                self._keep(file)

    def _download(self, file: RemoteFile) -> None:
        try:
            download(self._fs, self._url, file, self._part(file), partial(self._tell, file.name))
        except TransferError as problem:
            raise TransferError(
                f"'{file.name}' of '{without_credentials(self._url)}' could not be fetched: {problem}. "
                "What has arrived is kept; run the command again to go on."
            ) from problem

    def _part(self, file: RemoteFile) -> Path:
        """Where a file is until all of it is there; its own name may be as long as names can be."""
        return parts_of(self._entry) / _digest(file.name)

    def _keep(self, file: RemoteFile) -> None:
        part = self._part(file)
        size = part.stat().st_size
        if file.size is not None and size != file.size:
            part.unlink()
            raise TransferError(
                f"'{file.name}' of '{without_credentials(self._url)}' has {size} bytes instead of {file.size}: "
                "it changed meanwhile. Run the command again."
            )
        part.chmod(0o444)
        part.rename(self._entry / file.name)
        self._count(file)

    def _count(self, file: RemoteFile) -> None:
        self._done += (self._entry / file.name).stat().st_size
        self._tell(file.name, 0)

    def _tell(self, name: str, got: int) -> None:
        if self._on_progress is not None:
            self._on_progress(name, self._done + got, self._total)


def _previous(home: Path) -> Path | None:
    """The newest complete snapshot, whose unchanged files need not be fetched again."""
    marks = [mark for mark in home.glob("*.complete") if mark.with_suffix("").is_dir()]
    marks.sort(key=lambda mark: mark.stat().st_mtime)
    return marks[-1].with_suffix("") if marks else None


def _manifest(entry: Path | None) -> dict[str, Any]:
    if entry is None:
        return {}
    place = manifest_of(entry)
    try:
        found = json.loads(place.read_text())
    except (OSError, ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    logger.warning("%s is damaged and passed over: unchanged files are fetched again.", place)
    return {}


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:  # not every file system has links
        return False
    return True
