"""Upload what a run wrote. A failed upload loses nothing: the local files stay until they have arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from tesseract.transfer.remote import TransferError, open_url, reason, without_credentials

Progress = Callable[[str, int, int], object]
"""Called with the name of a file, the bytes sent so far in all, and the bytes to send in all."""


def upload(
    directory: Path, url: str, on_progress: Progress | None = None, only: Iterable[Path] | None = None
) -> list[Path]:
    """Copy a directory's files below a URL.

    Args:
        directory: Where the files are.
        url: Where they go: `s3://bucket/prefix`, `ftp://...`, anything that fsspec writes.
        on_progress: Told about what is sent.
        only: Some of the files (absolute paths below `directory`); all by default.

    Returns:
        The files that were uploaded.

    Raises:
        InvalidValue: No such kind of URL.
        TransferError: Not all could be uploaded; says where the local copy is.
    """
    fs, root = open_url(url)
    files = sorted(path for path in (only if only is not None else directory.rglob("*")) if path.is_file())
    total = sum(path.stat().st_size for path in files)
    done = 0
    try:
        for path in files:
            name = path.relative_to(directory).as_posix()
            target = f"{root}/{name}"
            _make_parents(fs, target)
            fs.put_file(str(path), target)
            size = path.stat().st_size
            arrived = fs.info(target).get("size")
            if arrived is not None and arrived != size:
                raise OSError(f"{name}: {arrived} of {size} bytes arrived")
            done += size
            if on_progress is not None:
                on_progress(name, done, total)
    except Exception as problem:  # every file system has errors of its own
        raise TransferError(
            f"The output could not be uploaded to '{without_credentials(url)}': {reason(problem)}. "
            f"Nothing is lost: it is in {directory}."
        ) from problem
    return files


def _make_parents(fs: object, target: str) -> None:
    """Directories, where the file system has such; an object store refuses or ignores the wish."""
    if type(fs).__name__ in ("S3FileSystem", "GCSFileSystem", "AzureBlobFileSystem"):
        return
    fs.makedirs(target.rpartition("/")[0], exist_ok=True)  # type: ignore[attr-defined]
