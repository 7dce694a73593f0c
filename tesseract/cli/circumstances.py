"""Errors of the machine that no command can foresee, as lines that say what to do. They are no bugs of ours."""

from __future__ import annotations

import errno
import os

from tesseract.errors import UserError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_LEAVE = "Check its owner and mode."
_ADVICE = {
    errno.EACCES: _NO_LEAVE,
    errno.EPERM: _NO_LEAVE,
    errno.EROFS: "Choose another place.",
    errno.EMFILE: "Raise the limit with `ulimit -n`.",
    errno.ENFILE: "End other programs.",
    errno.ENOMEM: "End other programs.",
    errno.ENAMETOOLONG: "Choose a shorter one.",
    errno.ELOOP: "Look at its symbolic links.",
}


def explained(error: Exception) -> UserError | None:
    """The error for the user, if what happened is none of our doing."""
    line = _line(error)
    if line is None:
        return None
    explanation = UserError(line)
    explanation.__cause__ = error
    return explanation


def _line(error: Exception) -> str | None:
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return f"{error.object!a} is not UTF-8 text, and cannot be handed on. Rename it."
    if not isinstance(error, OSError):
        return None
    if isinstance(error, FileNotFoundError) and error.filename is None and not _is_somewhere():
        return "The working directory does not exist any more. Change to another one."
    if error.errno in _NO_ROOM:
        return _full(error)
    if error.errno not in _ADVICE:
        return None
    where = f": {error.filename}" if error.filename is not None else ""
    return f"{os.strerror(error.errno)}{where}. {_ADVICE[error.errno]}"


def _full(error: OSError) -> str:
    """Which file system is full; where the error names no file, that of temporary files."""
    import tempfile

    from tesseract import disk

    place = error.filename if isinstance(error.filename, str) else tempfile.gettempdir()
    found = disk.room(place)
    what = disk.shortage(found, quota=error.errno == errno.EDQUOT) if found else os.strerror(error.errno or 0)
    remedies = [*(disk.ours(found) if found else ()), "set TMPDIR to a directory with room"]
    return f"{what}: {place}. Make room there, or {' or '.join(remedies)}."


def _is_somewhere() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True
