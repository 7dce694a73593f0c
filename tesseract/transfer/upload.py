"""Upload what a run wrote. A failed upload loses nothing: the local files stay until they have arrived."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tesseract.transfer.progress import OnProgress
from tesseract.transfer.remote import TransferError, open_url, reason, without_credentials

OnSent = Callable[[Path, os.stat_result], object]
"""Called with each file that has arrived, and its state when it was sent."""


def upload(
    directory: Path,
    url: str,
    on_progress: OnProgress | None = None,
    only: Iterable[Path] | None = None,
    on_sent: OnSent | None = None,
) -> list[Path]:
    """Copy a directory's files below a URL.

    Args:
        directory: Where the files are.
        url: Where they go: `s3://bucket/prefix`, `ftp://...`, anything that fsspec writes.
        on_progress: Told about what is sent.
        only: Some of the files (absolute paths below `directory`); all by default.
        on_sent: Told about each file that has arrived.

    Returns:
        The files that were uploaded.

    Raises:
        InvalidValue: No such kind of URL.
        TransferError: Not all could be uploaded; says where the local copy is.
    """
    files = sorted(path for path in (only if only is not None else directory.rglob("*")) if path.is_file())
    states = {path: path.stat() for path in files}
    total = sum(state.st_size for state in states.values())
    done = 0
    try:
        fs, root = open_url(url)
        for path, state in states.items():
            name = path.relative_to(directory).as_posix()
            _send(fs, path, f"{root}/{name}", _counter(on_progress, name, done, total))
            done += state.st_size
            if on_sent is not None:
                on_sent(path, state)
    except Exception as problem:  # every file system has errors of its own
        cause = str(problem).rstrip(".") if isinstance(problem, TransferError) else reason(problem, url)
        raise TransferError(
            f"The output could not be uploaded to '{without_credentials(url)}': {cause}. "
            f"Nothing is lost: it is in {directory}."
        ) from problem
    return files


def _send(fs: Any, path: Path, target: str, callback: Any) -> None:
    if not _is_object_store(fs):
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)
    fs.put_file(str(path), target, callback=callback)
    try:
        arrived = fs.info(target).get("size")
    except PermissionError:  # we may write there, but not look
        return
    if arrived is not None and arrived != path.stat().st_size:
        raise OSError(f"{arrived} bytes of {path.name} arrived")


def _is_object_store(fs: Any) -> bool:
    """Whether there are no directories to be made: such a store refuses or ignores the wish."""
    return type(fs).__name__ in ("S3FileSystem", "GCSFileSystem", "AzureBlobFileSystem")


def _counter(on_progress: OnProgress | None, name: str, before: int, total: int) -> Any:
    """What fsspec tells about the bytes of one file that it has sent."""
    from fsspec.callbacks import Callback

    class Counter(Callback):  # type: ignore[misc]  # fsspec has no types
        def call(self, hook_name: str | None = None, **kwargs: Any) -> None:
            if on_progress is not None:
                on_progress(name, before + self.value, total)

    return Counter()
