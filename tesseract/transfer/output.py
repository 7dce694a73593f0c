"""Output that belongs at a URL: the local directory that a container writes to, and what of it has been uploaded."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Self

from tesseract_core import untrusted
from tesseract_core.visible import visible

from tesseract.errors import InvalidValue, UserError
from tesseract.remove_tree import remove_tree
from tesseract.transfer.progress import shown
from tesseract.transfer.remote import TransferError, open_url, without_credentials
from tesseract.transfer.upload import upload

logger = logging.getLogger("tesseract")


def outputs_dir() -> Path:
    """Where such directories are: a persistent place, because until it is uploaded the output is here only."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(base) / "tesseract" / "outputs"


# HTTP servers, as fsspec knows them, are only read from, and memory ends with this command.
_TAKES_NOTHING = ("http", "https", "data", "memory")
_AT_MOST = 10_000_000  # entries of an output directory that are looked at; a container may make them without end
_SHOWN = 5  # names in a warning


class Output:
    """A local output directory with a destination.

    Beside it stands `<directory>.uploads`, for the owner's eyes only: the URL, which may carry credentials, then a line
    for each file that has arrived, so that nothing is sent twice, whoever goes on. The process that has made it holds a
    lock on that file while it lives.

    Attributes:
        directory: The local directory.
        url: Where its files go.
    """

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url
        self._sent: dict[str, tuple[int, int]] = {}
        self._left_out: dict[str, str] = {}  # names, and why
        self._told: set[str] = set()
        self._given_up = False
        self._lock: int | None = None

    @classmethod
    def make(cls, url: str) -> Self:
        """Make a directory for output that goes to `url`.

        Raises:
            InvalidValue: No such kind of URL.
            TransferError: The server refuses us.
            UserError: The directory cannot be made.
        """
        _check_destination(url)
        directory = outputs_dir() / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        try:
            directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.mkdir()
            output = cls(directory, url)
            output._lock = os.open(_record(directory), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            _lock(output._lock)
            os.write(output._lock, json.dumps(url).encode() + b"\n")
        except OSError as error:
            raise UserError(
                f"Cannot make {directory} for the output: {error.strerror}. Set XDG_STATE_HOME to a place with room."
            ) from error
        return output

    @classmethod
    def at(cls, directory: Path) -> Self | None:
        """The output that `make` made at `directory`; None if it is gone or its record is damaged.

        A damaged record is named in a warning: what is in the directory stays there.
        """
        record = _record(directory)
        try:
            with untrusted.open_regular(record.parent, record.name) as file:
                url, *sent = [_parsed(line) for line in file]
            if not isinstance(url, str):
                raise ValueError
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            logger.warning(
                "%s is damaged, so that nothing is known of where the output in %s belongs. Copy what you need of it, "
                "then remove both.",
                record,
                directory,
            )
            return None
        output = cls(directory, url)
        for line in sent:
            match line:
                case [str(name), int(size), int(mtime)]:
                    output._sent[name] = size, mtime
                case _:  # its writer was killed; that file is sent again
                    pass
        return output

    @classmethod
    def all(cls) -> list[Self]:
        """Every output that is still here, oldest first."""
        found = []
        for record in sorted(outputs_dir().glob("*.uploads")):
            directory = record.with_suffix("")
            if not directory.is_dir():  # its owner has given it up
                record.unlink(missing_ok=True)
            elif (output := cls.at(directory)) is not None:
                found.append(output)
        return found

    def is_held(self) -> bool:
        """Whether the process that has made it still lives."""
        try:
            record = os.open(_record(self.directory), os.O_RDONLY)
        except OSError:
            return False
        try:
            return not _lock(record)
        finally:
            os.close(record)

    def waiting(self, below: str = "") -> dict[str, int]:
        """The files that have not arrived, all of them or those below a directory of it: names and sizes."""
        if not below:
            self._left_out.clear()
        found = untrusted.files(self.directory, _AT_MOST, self._left_out.__setitem__, below)
        return {file.name: file.state.st_size for file in found if self._sent.get(file.name) != _version(file.state)}

    @property
    def shown_url(self) -> str:
        """The URL without credentials."""
        return without_credentials(self.url)

    def upload(self, below: str = "") -> None:
        """Upload what has not arrived yet, all of it or what is below a directory of it.

        Regular files only. What else a container has left, links above all, is named in a warning.

        Raises: TransferError; what has arrived until then is remembered.
        """
        waiting = self.waiting(below)
        self._tell_left_out()
        if not waiting:
            return
        with shown("Uploading") as on_progress:
            upload(self.directory, self.url, on_progress, waiting, self._remember)

    def finish(self) -> None:
        """Upload what is left, then remove the local copy.

        Raises: TransferError; the local copy is then still there.
        """
        try:
            self.upload()
            self._check_complete()
        except UserError:  # which says where it is
            raise
        except BaseException:
            self.give_up()
            raise
        self._discard()

    def give_up(self) -> None:
        """After a failure: say where the local copy is, or remove it if there is nothing in it."""
        if not any(untrusted.files(self.directory, _AT_MOST, self._left_out.__setitem__)) and not self._unread():
            self._discard()
        elif not self._given_up:
            logger.warning("What has been written is in %s; `tesseract uploads --retry` uploads it.", self.directory)
            self._given_up = True

    def _discard(self) -> None:
        try:
            remove_tree(self.directory)
        except OSError as error:
            logger.warning("All has arrived, but %s could not be removed: %s.", self.directory, error.strerror)
        _record(self.directory).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _tell_left_out(self) -> None:
        """Say once what is not uploaded, and why."""
        new = {name: why for name, why in self._left_out.items() if name not in self._told}
        if new:
            self._told |= set(new)
            logger.warning("Only regular files of the output are uploaded. Left out: %s.", _named(new))

    def _unread(self) -> dict[str, str]:
        """Directories that were not looked into, and why: there may be results in them."""
        return {name: why for name, why in self._left_out.items() if why not in untrusted.KINDS}

    def _check_complete(self) -> None:
        if unread := self._unread():
            raise TransferError(
                f"Not all of the output could be uploaded to '{self.shown_url}': {_named(unread)}. "
                f"Nothing is lost: it is in {self.directory}; `tesseract uploads --retry` tries again."
            )

    def _remember(self, name: str, state: os.stat_result) -> None:
        self._sent[name] = seen = _version(state)
        with _record(self.directory).open("a") as record:
            record.write(json.dumps([name, *seen]) + "\n")


def _parsed(line: bytes) -> object:
    """A line of a record; None if it is no JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _record(directory: Path) -> Path:
    return directory.with_name(directory.name + ".uploads")


def _lock(record: int) -> bool:
    """Take the lock on an open record; false if somebody else has it."""
    try:
        fcntl.flock(record, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def _check_destination(url: str) -> None:
    """As far as that is possible without writing, and before anything is computed."""
    if url.partition(":")[0].lower() in _TAKES_NOTHING:
        raise InvalidValue(
            f"'{without_credentials(url)}' cannot take output. Use a local directory, or a URL like s3://bucket/prefix."
        )
    open_url(url)


def _named(left_out: Mapping[str, str]) -> str:
    """What was left out, and why, for a message: the names are a container's."""
    some = [f"{visible(name)} ({why})" for name, why in list(left_out.items())[:_SHOWN]]
    return ", ".join(some) + (f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else "")


def _version(state: os.stat_result) -> tuple[int, int]:
    return state.st_size, state.st_mtime_ns
