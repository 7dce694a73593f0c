"""Arrays in files: references `<path>[:<offset>[:<compressed_size>]]`, read with confinement, written by appending.

What a reference in a payload may name says `trust`: files below the input path, or below a directory that the operator
allowed, symbolic links followed; URLs that the operator allowed; anything where the operator is the caller.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import uuid
from collections.abc import MutableMapping
from typing import Any, NamedTuple

from tesseract_core.runtime.array_encoding.allowance import take

# The shortest path wins, so trailing groups of digits are always offset and size.
BINREF_PATTERN = r"^.+?(\:\d+(\:\d+)?)?$"
_BINREF = re.compile(r"(.+?)(?::(\d{1,18})(?::(\d{1,18}))?)?", re.DOTALL)

DEFAULT_MAX_FILE_SIZE = 100 * 1024 * 1024
WRITE_ERROR = "__binref_write_error"


class Binref(NamedTuple):
    """A parsed reference: path or URL, byte offset, and size in bytes where the data is compressed."""

    path: str
    offset: int
    compressed_size: int | None


def parse_binref(text: str) -> Binref:
    """Raises: ValueError."""
    match = _BINREF.fullmatch(text)
    if match is None:
        raise ValueError("a reference is <path>[:<offset>[:<compressed_size>]]")
    path, offset, size = match.groups()
    return Binref(path, int(offset or 0), None if size is None else int(size))


def read_binref(ref: Binref, length: int, context: MutableMapping[str, Any]) -> bytearray:
    """Read exactly `length` bytes.

    Args:
        ref: What to read.
        length: Number of bytes.
        context: Validation context; `base_dir` (default: the configured input path) and `binref_dir` say what relative
            paths are relative to.

    Raises:
        ValueError: The file is missing, too short, or not allowed. Messages repeat the path as it was given.
    """
    from tesseract_core.runtime.config import get_config
    from tesseract_core.runtime.file_interactions import is_absolute_path, is_url, join_paths
    from tesseract_core.runtime.trust import readable_file

    take(context, length, "files")
    base = os.fspath(context.get("base_dir") or get_config().input_path)
    path = ref.path
    if not is_absolute_path(path) and context.get("binref_dir"):
        path = join_paths(context["binref_dir"], path)
    if is_url(place := join_paths(base, path)):
        return _read_url(place, ref, length)
    # A base directory comes from the caller, never from the payload.
    roots = () if is_url(base) else (base,)
    return _read_file(readable_file(path, base, roots=roots), ref, length)


def _read_file(path: str, ref: Binref, length: int) -> bytearray:
    wanted = f"{length} bytes at offset {ref.offset} of {ref.path!r}"
    try:
        found = os.stat(path)
        # Anything else, such as a named pipe, might block for ever.
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"cannot read {wanted}: not a regular file")
        # Known before a buffer is allocated.
        if found.st_size < ref.offset + length:
            raise ValueError(f"cannot read {wanted}: the file has {found.st_size} bytes")
        buffer = bytearray(length)
        with open(path, "rb") as file:
            file.seek(ref.offset)
            got = file.readinto(buffer)
    except OSError as error:
        raise ValueError(f"cannot read {wanted}: {error.strerror}") from None
    if got != length:
        raise ValueError(f"cannot read {wanted}: the file became shorter")
    return buffer


def _read_url(url: str, ref: Binref, length: int) -> bytearray:
    from tesseract_core.redirects import RedirectRefused
    from tesseract_core.runtime.file_interactions import cause_of, read_checked
    from tesseract_core.runtime.trust import check_url

    check_url(url)
    try:
        data = read_checked(url, ref.offset, length)
    except RedirectRefused as error:
        raise ValueError(f"cannot read {ref.path!r}: {error}") from None
    except Exception as error:  # every file system has errors of its own
        raise ValueError(f"cannot read {ref.path!r}: {type(cause_of(error)).__name__}") from None
    if len(data) != length:
        raise ValueError(f"expected {length} bytes at offset {ref.offset} of {ref.path!r}, got {len(data)}")
    return bytearray(data)


def write_binref(data: Any, context: MutableMapping[str, Any]) -> str:
    """Append bytes to the current file of a dump and return the reference (without a compressed size).

    Args:
        data: Bytes-like object.
        context: Serialisation context. Read: `base_dir` (default: the configured output path), `binref_dir`,
            `max_file_size`. The current file and its size are kept in it, so one context serves one dump; and
            `WRITE_ERROR`, if that is why the dump fails.
    """
    base = context.get("base_dir")
    if base is None:
        from tesseract_core.runtime.config import get_config

        base = get_config().output_path
    subdirectory = context.get("binref_dir") or ""
    offset = context.get("__binref_offset", 0)
    if "__binref_uuid" not in context or offset > context.get("max_file_size", DEFAULT_MAX_FILE_SIZE):
        context["__binref_uuid"], offset = str(uuid.uuid4()), 0
    name = os.path.join(subdirectory, f"{context['__binref_uuid']}.bin")
    path = os.path.join(base, name)
    try:
        if offset == 0:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "ab") as file:
            file.write(data)
    except OSError as error:  # a full disk: no half array stays
        context[WRITE_ERROR] = error
        with contextlib.suppress(OSError):
            os.truncate(path, offset) if offset else os.unlink(path)
        raise
    context["__binref_offset"] = offset + len(data)
    return f"{name}:{offset}"
