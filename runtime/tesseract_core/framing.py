"""Bodies of type `application/json+binary`: arrays as they lie in memory, behind the JSON text that describes them.

    8 bytes   b"TSRARRAY"
    8 bytes   length of the JSON text, unsigned, little-endian
    ...       the JSON text
    ...       zero bytes up to a multiple of 64
    ...       buffers, each followed by zero bytes up to a multiple of 64

The `data` of an array is `{"buffer": "OFFSET:LENGTH", "encoding": "binary"}` (and its compression, if it has one), in
bytes from the first buffer on. Plain numbers keep their values: `Infinity`, `-Infinity` and `NaN` stand in the text,
and a complex number is `{"object_type": "complex", "real": ..., "imag": ...}`. No JSON text begins like such a body. It
is no part of the contract of version 1.15: a server says in its OpenAPI document (`x-supported-body-formats`) that it
takes and sends it, and base64 is there for everybody else.
"""

from __future__ import annotations

import re
import struct
from typing import Any

FORMAT = "json+binary"
MEDIA_TYPE = f"application/{FORMAT}"
ENCODING = "binary"
COMPLEX = "complex_objects"
"""Key of the context of a serialisation: whether plain complex numbers become objects."""

_MAGIC = b"TSRARRAY"
_HEADER = struct.Struct("<8sQ")
_ALIGNMENT = 64
_REFERENCE = re.compile(r"(\d{1,19}):(\d{1,19})", re.ASCII)


class Buffers:
    """Collects the buffers of a body while its text is written."""

    def __init__(self) -> None:
        self._pieces: list[Any] = []
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, raw: Any) -> str:
        """Keep a C-contiguous buffer (not copied yet); returns the reference to it."""
        length = memoryview(raw).nbytes
        reference = f"{self._size}:{length}"
        padding = -length % _ALIGNMENT
        self._pieces += (raw, bytes(padding))
        self._size += length + padding
        return reference

    def body(self, text: bytes) -> bytes:
        """The whole body."""
        padding = -(_HEADER.size + len(text)) % _ALIGNMENT
        return b"".join((_HEADER.pack(_MAGIC, len(text)), text, bytes(padding), *self._pieces))


def complex_object(number: complex) -> dict[str, Any]:
    """A plain complex number as an object."""
    return {"object_type": "complex", "real": number.real, "imag": number.imag}


def is_complex_object(value: dict[Any, Any]) -> bool:
    """Whether an object is one that `complex_object` made."""
    return len(value) == 3 and value.get("object_type") == "complex" and "real" in value and "imag" in value


def is_framed(body: bytes) -> bool:
    """Whether a body is of this type."""
    return body[: len(_MAGIC)] == _MAGIC


def split(body: bytes) -> tuple[bytes, memoryview]:
    """JSON text and buffers of a body. Raises: ValueError."""
    if len(body) < _HEADER.size or not is_framed(body):
        raise ValueError(f"it does not begin like a body of type {MEDIA_TYPE}")
    length = _HEADER.unpack_from(body)[1]
    end = _HEADER.size + length
    if end > len(body):
        raise ValueError(f"its JSON text should have {length} bytes, and {len(body) - _HEADER.size} follow")
    return body[_HEADER.size : end], memoryview(body)[end + -end % _ALIGNMENT :]


def buffer(buffers: memoryview, reference: Any) -> memoryview:
    """The buffer that a reference means. Raises: ValueError."""
    match = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
    if match is None:
        raise ValueError("expected a reference OFFSET:LENGTH")
    offset, length = int(match[1]), int(match[2])
    if offset + length > len(buffers):
        raise ValueError(f"{reference} is not within the {len(buffers)} bytes of the body")
    return buffers[offset : offset + length]
