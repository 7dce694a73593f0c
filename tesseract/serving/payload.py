"""Arguments of a runtime command that stand for files: read on the host, mounted read-only, never long in argv."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit

from tesseract.backends.spec import Mount
from tesseract.errors import InvalidValue, UserError
from tesseract.serving.plan import Payload
from tesseract.transfer.remote import is_url

# The kernel refuses one argument above 128 KiB (MAX_ARG_STRLEN); stay well below.
MAX_INLINE_BYTES = 64 * 1024
_TARGET = "/tesseract/payload"


@contextmanager
def staged(args: Sequence[str], cwd: Path, stdin: BinaryIO | None = None) -> Iterator[Payload]:
    """Turn `args` into what the container gets, and clean up afterwards.

    `@path` must be a regular file and is mounted as it is; `@scheme://...` is fetched with the host's credentials;
    `@-` and `-` read `stdin`; text above 64 KiB goes into a file. Everything else is passed through.

    Raises: InvalidValue, TransferError, UserError.
    """
    with ExitStack() as stack:
        words: list[str] = []
        mounts: list[Mount] = []
        for arg in args:
            try:
                source = _source_file(arg, cwd, stdin, stack)
            except OSError as error:
                raise UserError(
                    f"The payload cannot be handed over by way of {tempfile.gettempdir()}: {error.strerror}. "
                    "Set TMPDIR to a directory with room."
                ) from error
            if source is None:
                words.append(arg)
                continue
            number = f"_{len(mounts)}" if mounts else ""
            target = f"{_TARGET}{number}{source.suffix}"
            mounts.append(Mount("bind", str(source), target, read_only=True))
            words.append(f"@{target}")
        yield Payload(tuple(words), tuple(mounts), fetched=any(map(_is_fetched, args)))


def _source_file(arg: str, cwd: Path, stdin: BinaryIO | None, stack: ExitStack) -> Path | None:
    """The file that holds what `arg` means, or `None` if the argument speaks for itself."""
    if arg in ("-", "@-"):
        target = _temporary(stack) / "stdin.json"
        with target.open("wb") as file:
            shutil.copyfileobj(stdin or sys.stdin.buffer, file)
        return target
    if arg.startswith("@"):
        name = arg.lstrip("@")
        if is_url(name):
            return _fetch(name, _temporary(stack))
        path = Path(os.path.realpath(cwd / Path(name).expanduser()))
        if not path.is_file():
            raise InvalidValue(f"Path {name} provided as input is not a file. Check the path behind the '@'.")
        if not os.access(path, os.R_OK):
            raise InvalidValue(f"Path {name} provided as input may not be read by you. Check its owner and mode.")
        return path
    if len(arg) > MAX_INLINE_BYTES // 4 and len(arg.encode()) > MAX_INLINE_BYTES:
        target = _temporary(stack) / "inline.json"
        target.write_text(arg, encoding="utf-8")
        return target
    return None


def _is_fetched(arg: str) -> bool:
    return arg.startswith("@") and is_url(arg.lstrip("@")) and not arg.lstrip("@").lower().startswith("file://")


def _temporary(stack: ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tesseract_payload_")))


def _fetch(url: str, directory: Path) -> Path:
    from tesseract.transfer.download import download
    from tesseract.transfer.progress import shown
    from tesseract.transfer.remote import RemoteFile, TransferError, open_url, without_credentials

    fs, path = open_url(url)
    target = directory / f"payload{PurePosixPath(urlsplit(url).path).suffix}"
    try:
        with shown("Fetching") as on_progress:
            file = RemoteFile("payload", path, size=None, version="")
            download(fs, url, file, target, lambda got: on_progress(file.name, got, None))
    except TransferError as problem:
        raise TransferError(
            f"The payload at '{without_credentials(url)}' cannot be read: {problem}. "
            "Check the address, and your credentials for it."
        ) from problem
    return target
