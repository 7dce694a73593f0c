"""Upload what a run wrote. A failed upload loses nothing: the local files stay until they have arrived."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from tesseract_core import untrusted
from tesseract_core.untrusted import open_regular
from tesseract_core.visible import visible

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

_LONGEST_SUFFIX = 20

OnSent = Callable[[str, os.stat_result], object]
"""Called with the name of each file that has arrived, and the file's state when it was sent."""


def upload(
    directory: Path,
    url: str,
    on_progress: OnProgress | None = None,
    only: Iterable[str] | None = None,
    on_sent: OnSent | None = None,
) -> list[str]:
    """Copy a directory's files below a URL: regular files, and no link is followed on the way to them.

    A container may write there at the same time, so each file is opened once, and what is sent is what was opened.

    Args:
        directory: Where the files are.
        url: Where they go: `s3://bucket/prefix`, `ftp://...`, anything that fsspec writes.
        on_progress: Told about what is sent.
        only: Names of some of the files, relative to `directory`; all by default.
        on_sent: Told about each file that has arrived.

    Returns:
        Names of the files that were uploaded.

    Raises:
        InvalidValue: No such kind of URL.
        TransferError: Not all could be uploaded; says where the local copy is.
    """
    fs = None
    unfit: list[str] = []
    names = only if only is not None else (file.name for file in untrusted.files(directory, sys.maxsize))
    states = _look_at(directory, sorted(names), unfit)
    try:
        fs, root = open_url(url)
        sender = _Sender(fs, root, sum(state.st_size for state in states.values()), on_progress)
        for group in in_groups(states, lambda name: states[name].st_size):
            with ExitStack() as opened:
                place = Path(opened.enter_context(TemporaryDirectory(prefix="tesseract_upload_")))
                sources = [_Source(name, opened.enter_context(open_regular(directory, name)), place) for name in group]
                sender.send(sources)
                sender.check(sources)
            if on_sent is not None:
                for source in sources:
                    on_sent(source.name, source.state)
        if unfit:
            raise TransferError("; ".join(unfit))
    except Exception as problem:  # every file system has errors of its own
        why = str(problem).rstrip(".") if isinstance(problem, TransferError) else reason(problem, url, fs)
        raise TransferError(
            f"The output could not be uploaded to '{without_credentials(url)}': {why}. "
            f"Nothing is lost: it is in {directory}; `tesseract uploads --retry` tries again."
        ) from cause(problem, url)
    return list(states)


def _look_at(directory: Path, names: Sequence[str], unfit: list[str]) -> dict[str, os.stat_result]:
    """What can be sent, with its state; what is wrong with the rest goes to `unfit`."""
    states = {}
    for name in names:
        try:
            name.encode()
            with open_regular(directory, name) as file:
                states[name] = os.fstat(file.fileno())
        except FileNotFoundError:  # its owner has removed it meanwhile
            continue
        except UnicodeEncodeError:
            unfit.append(f"the name '{visible(name)}' is not UTF-8")
        except OSError as problem:
            unfit.append(f"'{visible(name)}' cannot be read: {problem.strerror}")
    return states


class _Source:
    """A file that is open.

    Attributes:
        name: Relative to the output directory.
        path: A link of ours to the very file that is open, whatever happens to its name. It ends like the name, from
            which stores guess what kind of file it is.
        state: As it was when it was opened.
    """

    def __init__(self, name: str, file: BinaryIO, place: Path) -> None:
        self.name = name
        self._file = file
        self.state = self.now()
        suffix = PurePosixPath(name).suffix
        link = place / f"{file.fileno()}{suffix if len(suffix) < _LONGEST_SUFFIX else ''}"
        link.symlink_to(f"/dev/fd/{file.fileno()}")
        self.path = str(link)

    def now(self) -> os.stat_result:
        return os.fstat(self._file.fileno())


class _Sender:
    """Sends files to where they belong."""

    def __init__(self, fs: Any, root: str, total: int, on_progress: OnProgress | None) -> None:
        self._fs = fs
        self._root = root
        self._on_progress = on_progress
        self._total = total
        self._done = 0
        self._made: set[str] = set()

    def send(self, group: Sequence[_Source]) -> None:
        if len(group) > 1 and has_no_directories(self._fs):
            targets = [self._target(source) for source in group]
            self._fs.put([source.path for source in group], targets, batch_size=AT_ONCE)
        else:
            for source in group:
                self._make_parent(self._target(source))
                self._fs.put_file(source.path, self._target(source), callback=self._counter(source.name))
        self._done += sum(source.state.st_size for source in group)
        self._tell(group[-1].name, 0)

    def check(self, group: Sequence[_Source]) -> None:
        """Raises: OSError, if what has arrived is not what was sent; a file may grow meanwhile."""
        for source, arrived in zip(group, self._sizes([self._target(source) for source in group]), strict=True):
            if arrived is not None and not source.state.st_size <= arrived <= source.now().st_size:
                raise OSError(f"{arrived} bytes of {visible(source.name)} arrived")

    def _target(self, source: _Source) -> str:
        return f"{self._root}/{source.name}"

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

    def _counter(self, name: str) -> Any:
        """What fsspec tells about the bytes of one file that it has sent."""
        from fsspec.callbacks import Callback

        class Counter(Callback):  # type: ignore[misc]  # fsspec has no types
            def call(counter, hook_name: str | None = None, **kwargs: Any) -> None:  # noqa: N805
                self._tell(name, counter.value)

        return Counter()

    def _tell(self, name: str, sent: int) -> None:
        if self._on_progress is not None:
            self._on_progress(visible(name.rpartition("/")[2]), self._done + sent, self._total)


def _parent(target: str) -> str:
    return target.rpartition("/")[0]
