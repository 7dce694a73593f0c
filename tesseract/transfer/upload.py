"""Upload what a run wrote. A failed upload loses nothing: the local files stay until they have arrived."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tesseract.transfer.download import in_groups
from tesseract.transfer.progress import OnProgress
from tesseract.transfer.remote import (
    AT_ONCE,
    TransferError,
    cause,
    has_no_directories,
    open_url,
    reason,
    without_credentials,
)

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
    states, unfit = _look_at(sorted(only if only is not None else directory.rglob("*")))
    try:
        fs, root = open_url(url)
        sender = _Sender(fs, {path: f"{root}/{path.relative_to(directory).as_posix()}" for path in states}, on_progress)
        for group in in_groups(states, lambda path: states[path].st_size):
            sender.send(group)
            sender.check(group, states)
            if on_sent is not None:
                for path in group:
                    on_sent(path, states[path])
        if unfit:
            raise TransferError("; ".join(unfit))
    except Exception as problem:  # every file system has errors of its own
        why = str(problem).rstrip(".") if isinstance(problem, TransferError) else reason(problem, url)
        raise TransferError(
            f"The output could not be uploaded to '{without_credentials(url)}': {why}. "
            f"Nothing is lost: it is in {directory}; `tesseract uploads --retry` tries again."
        ) from cause(problem, url)
    return list(states)


def _look_at(paths: Sequence[Path]) -> tuple[dict[Path, os.stat_result], list[str]]:
    """What can be sent, with its state, and what is wrong with the rest."""
    states, unfit = {}, []
    for path in paths:
        try:
            if path.is_file():
                path.name.encode()
                path.open("rb").close()
                states[path] = path.stat()
        except FileNotFoundError:  # its owner has removed it meanwhile
            continue
        except UnicodeEncodeError:
            unfit.append(f"the name {path.name!r} is not UTF-8")
        except OSError as problem:
            unfit.append(f"'{path.name}' cannot be read: {problem.strerror}")
    return states, unfit


class _Sender:
    """Sends files to where they belong."""

    def __init__(self, fs: Any, targets: dict[Path, str], on_progress: OnProgress | None) -> None:
        self._fs = fs
        self._targets = targets
        self._on_progress = on_progress
        self._total = sum(path.stat().st_size for path in targets)
        self._done = 0
        self._made: set[str] = set()

    def send(self, group: Sequence[Path]) -> None:
        if len(group) > 1 and has_no_directories(self._fs):
            self._fs.put([*map(str, group)], [self._targets[path] for path in group], batch_size=AT_ONCE)
        else:
            for path in group:
                self._make_parent(self._targets[path])
                self._fs.put_file(str(path), self._targets[path], callback=self._counter(path))
        self._done += sum(path.stat().st_size for path in group)
        self._tell(group[-1], 0)

    def check(self, group: Sequence[Path], states: dict[Path, os.stat_result]) -> None:
        """Raises: OSError, if what has arrived is not what was sent; a file may grow meanwhile."""
        for path, arrived in zip(group, self._sizes([self._targets[path] for path in group]), strict=True):
            if arrived is not None and not states[path].st_size <= arrived <= path.stat().st_size:
                raise OSError(f"{arrived} bytes of {path.name} arrived")

    def _sizes(self, targets: Sequence[str]) -> list[int | None]:
        """What the server says about files that have just been sent; None where we may not look."""
        self._fs.invalidate_cache()
        try:
            if has_no_directories(self._fs):
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    return [info.get("size") for info in pool.map(self._fs.info, targets)]
            listed = {}
            for parent in {_parent(target) for target in targets}:
                for info in self._fs.ls(parent, detail=True):
                    listed[parent, info["name"].rstrip("/").rpartition("/")[2]] = info.get("size")
            return [listed.get((_parent(target), target.rpartition("/")[2])) for target in targets]
        except PermissionError:
            return [None] * len(targets)

    def _make_parent(self, target: str) -> None:
        """Make the directory of a file, once. Object stores have none, and refuse or ignore the wish."""
        parent = _parent(target)
        if parent not in self._made and not has_no_directories(self._fs):
            self._fs.makedirs(parent, exist_ok=True)
            self._made.add(parent)

    def _counter(self, path: Path) -> Any:
        """What fsspec tells about the bytes of one file that it has sent."""
        from fsspec.callbacks import Callback

        class Counter(Callback):  # type: ignore[misc]  # fsspec has no types
            def call(counter, hook_name: str | None = None, **kwargs: Any) -> None:  # noqa: N805
                self._tell(path, counter.value)

        return Counter()

    def _tell(self, path: Path, sent: int) -> None:
        if self._on_progress is not None:
            self._on_progress(path.name, self._done + sent, self._total)


def _parent(target: str) -> str:
    return target.rpartition("/")[0]
