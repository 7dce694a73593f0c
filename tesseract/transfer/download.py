"""Get one file from where an earlier try ended, or many small ones at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tesseract.transfer import web
from tesseract.transfer.remote import AT_ONCE, RemoteFile, TransferError, cause, reason

T = TypeVar("T")

_CHUNK = 1 << 20
_SMALL = 8 << 20  # bytes; of such files a few are moved at once, because most of the time goes into asking
_GROUP = 64


def in_groups(files: Iterable[T], size_of: Callable[[T], int | None]) -> Iterator[list[T]]:
    """The same files in the same order: small ones together, each of the others alone."""
    group: list[T] = []
    for file in files:
        size = size_of(file)
        small = size is not None and size <= _SMALL
        if group and (not small or len(group) == _GROUP):
            yield group
            group = []
        if small:
            group.append(file)
        else:
            yield [file]
    if group:
        yield group


def together(fs: Any, files: Sequence[RemoteFile], targets: Sequence[Path]) -> bool:
    """Try to get some small files at once; false if that did not work, so that each has to be tried alone."""
    if len(files) < 2 or not fs.async_impl:
        return False
    options = {"headers": web.headers(fs)} if web.is_web(files[0].path) else {}
    try:
        fs.get([file.path for file in files], [str(target) for target in targets], batch_size=AT_ONCE, **options)
    except Exception:  # every file system has errors of its own; the one of a file alone says which file it was
        return False
    return True


def download(fs: Any, url: str, file: RemoteFile, target: Path, on_bytes: Callable[[int], object]) -> None:
    """Get one file; of one whose version is known, only what `target` does not have yet.

    Raises:
        TransferError: It cannot be had, and why; what has arrived stays in `target`.
        OSError: `target` cannot be written.
    """
    got = target.stat().st_size if file.version and file.size is not None and target.exists() else 0
    if got and got == file.size:
        return
    with _explained(fs, url):
        source, got = _opened(fs, file, got)
    with source, target.open("ab" if got else "wb") as sink:
        while True:
            with _explained(fs, url):
                on_bytes(got)
                chunk = source.read(_CHUNK)
            if not chunk:
                return
            sink.write(chunk)
            got += len(chunk)


def _opened(fs: Any, file: RemoteFile, start: int) -> tuple[Any, int]:
    """The file to be read, and from where on: a web server may not be able to start in the middle."""
    if web.is_web(file.path):
        more = {"Range": f"bytes={start}-", "If-Range": file.version} if start else {}
        # In blocks, which is fsspec's way, each would be a request, and a server without ranges could not answer them.
        source = fs.open(file.path, "rb", block_size=0, size=file.size, headers=web.headers(fs, **more))
        return source, start if source.r.status == 206 else 0
    source = fs.open(file.path, "rb")
    source.seek(start)
    return source, start


@contextmanager
def _explained(fs: Any, url: str) -> Iterator[None]:
    try:
        yield
    except Exception as problem:  # every file system has errors of its own
        raise TransferError(reason(problem, url, fs)) from cause(problem, url)
