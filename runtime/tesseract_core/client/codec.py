"""Payload trees to JSON bytes, and results back to NumPy: the client's side of the array encodings.

An encoded array is `{"object_type": "array", "shape": [...], "dtype": NAME, "data": {"buffer": ..., "encoding": ...}}`;
bytes are C-ordered and little-endian. Requests carry base64, references to files where both sides see a directory
(`binref`), or bytes beside the text where the server takes them (`framing`); answers may carry any encoding.
"""

from __future__ import annotations

import json
import math
import os
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pybase64
from pydantic_core import from_json

from tesseract_core import framing
from tesseract_core.client.arrays import to_numpy
from tesseract_core.client.payload import Tree
from tesseract_core.untrusted import open_regular

__all__ = ["BinrefFile", "Frame", "base64_data", "decode", "decode_array", "encode", "parse", "to_numpy"]

ArrayEncoder = Callable[[np.ndarray], dict[str, str]]


# ---- requests --------------------------------------------------------------------------------------------------------


def encode(payload: Any, encode_array: ArrayEncoder | None = None) -> bytes:
    """Serialise a payload; every leaf with `__array__` (NumPy, JAX, torch, ...) becomes an encoded array.

    Numbers that strict JSON cannot express are written as every server reads them: `NaN`, `Infinity`, `-Infinity`.

    Args:
        payload: Tree of mappings, sequences, models and leaves; empty or None becomes `null`.
        encode_array: Makes the `data` member of an array; base64 by default.

    Raises:
        TypeError: A leaf or key that JSON cannot express; the message begins with its path.
        ValueError: An array of a dtype that no Tesseract knows (objects, strings, bfloat16, ...).
    """
    if not payload:
        return b"null"
    tree = Tree(payload, encode_array or base64_data)
    if tree.is_finite:
        try:
            return orjson.dumps(tree.root)
        except TypeError:  # integers of more than 64 bits, and halves of surrogate pairs
            pass
    return json.dumps(tree.root, separators=(",", ":")).encode()


def base64_data(array: np.ndarray) -> dict[str, str]:
    """`data` member with the bytes in line."""
    return {"buffer": pybase64.b64encode_as_string(array.data if array.size else b""), "encoding": "base64"}


class BinrefFile:
    """Collects the arrays of one request in a file that the server sees too; delete it once the answer is there.

    Args:
        directory: The server's input path, as seen here.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"{uuid.uuid4()}.bin"
        self._offset = 0

    def data(self, array: np.ndarray) -> dict[str, str]:
        """Append an array; its `data` member refers to `file:offset`."""
        reference = f"{self.path.name}:{self._offset}"
        with self.path.open("ab") as file:
            file.write(array.data if array.size else b"")
        self._offset += array.nbytes
        return {"buffer": reference, "encoding": "binref"}

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)


class Frame:
    """Collects the arrays of one request as they are, to send them behind its text."""

    def __init__(self) -> None:
        self._buffers = framing.Buffers()

    def data(self, array: np.ndarray) -> dict[str, str]:
        """Keep an array; its `data` member refers to it."""
        return {"buffer": self._buffers.add(array.data if array.size else b""), "encoding": framing.ENCODING}

    def body(self, text: bytes) -> tuple[bytes, str]:
        """The request's body and its media type; without an array it is plain JSON."""
        return (self._buffers.body(text), framing.MEDIA_TYPE) if self._buffers else (text, "application/json")


# ---- answers ---------------------------------------------------------------------------------------------------------


def decode(body: bytes, output_path: Path | None = None) -> Any:
    """Parse an answer and turn every encoded array into a writable `ndarray` (rank 0 for scalars).

    Args:
        body: JSON text, with buffers behind it or without.
        output_path: Directory where the files of `binref` references lie; nothing outside of it is ever read.

    Raises:
        ValueError: Something that is marked as an array cannot be decoded.
    """
    if framing.is_framed(body):
        text, buffers = framing.split(body)
        return _from_json(parse(text), output_path, buffers)
    return _from_json(parse(body), output_path, None)


def parse(body: bytes) -> Any:
    """Parse JSON (`NaN` and `Infinity` allowed) without touching arrays."""
    return from_json(body)


def _from_json(node: Any, output_path: Path | None, buffers: memoryview | None) -> Any:
    if isinstance(node, dict):
        if node.get("object_type") == "array" or {"shape", "dtype", "data"} <= node.keys():
            return decode_array(node, output_path, buffers)
        if framing.is_complex_object(node):
            return complex(node["real"], node["imag"])
        return {key: _from_json(value, output_path, buffers) for key, value in node.items()}
    if isinstance(node, list):
        # Plain lists of numbers can be long; only what may hold an array is walked.
        return [_from_json(item, output_path, buffers) if isinstance(item, dict | list) else item for item in node]
    return node


def decode_array(
    encoded: Mapping[str, Any], output_path: Path | None = None, buffers: memoryview | None = None
) -> np.ndarray:
    """Decode one encoded array; `buffers` are those of the body that it came in. Raises: ValueError."""
    for key in ("shape", "dtype", "data"):
        if encoded.get(key) is None:
            raise ValueError(f"Encoded array lacks {key!r}")
    shape, data = tuple(encoded["shape"]), encoded["data"]
    if "buffer" not in data:
        raise ValueError("Encoded array lacks 'data.buffer'")
    try:
        dtype = np.dtype(encoded["dtype"])
    except TypeError as error:
        raise ValueError(f"Encoded array has an unknown dtype: {encoded['dtype']!r}") from error
    encoding, compression = data.get("encoding"), data.get("compression")
    if encoding in ("json", "raw"):
        return np.array(data["buffer"], dtype=dtype).reshape(shape)
    size = math.prod(shape) * dtype.itemsize
    if encoding == "base64":
        raw = _decompress(pybase64.b64decode_as_bytearray(data["buffer"], validate=True), compression)
    elif encoding == framing.ENCODING and buffers is not None:
        raw = _decompress(bytearray(framing.buffer(buffers, data["buffer"])), compression)
    elif encoding == "binref":
        raw = _decompress(_read_binref(data["buffer"], size, compression, output_path), compression)
    else:
        raise ValueError(f"Unexpected array encoding {encoding!r}")
    if len(raw) != size:
        raise ValueError(f"Array of shape {shape} and dtype {dtype} takes {size} bytes, got {len(raw)}")
    return np.frombuffer(raw, dtype=dtype).reshape(shape)


def _decompress(raw: bytearray, compression: str | None) -> bytearray:
    if compression is None:
        return raw
    if compression != "lz4":
        raise ValueError(f"Unexpected array compression {compression!r}")
    try:
        import lz4.frame
    except ModuleNotFoundError as error:
        raise ValueError("The server compresses arrays with lz4, which is not installed: pip install lz4") from error
    decompressed: bytearray = lz4.frame.decompress(raw, return_bytearray=True)
    return decompressed


_BINREF = re.compile(r"(?P<path>.+?)(?::(?P<offset>\d+)(?::(?P<length>\d+))?)?", re.DOTALL)


def _read_binref(reference: str, size: int, compression: str | None, output_path: Path | None) -> bytearray:
    if not (match := _BINREF.fullmatch(reference)):
        raise ValueError(f"Malformed binref {reference!r}: expected PATH[:OFFSET[:COMPRESSED_SIZE]]")
    if output_path is None:
        raise ValueError(
            f"The result lies in a file of the server ({match['path']}); "
            "pass the directory where its output_path is visible here (server_output_path)"
        )
    if compression is not None:
        if match["length"] is None:
            raise ValueError(f"Malformed binref {reference!r}: a compressed array needs PATH:OFFSET:COMPRESSED_SIZE")
        size = int(match["length"])
    # The path is chosen by the server: it must not lead this client to other files, not even through a symlink.
    root = os.path.realpath(output_path)
    path = os.path.realpath(os.path.join(root, match["path"]))
    if os.path.commonpath([root, path]) != root:
        raise ValueError(f"binref {reference!r} leaves the output_path {root}")
    start = int(match["offset"] or 0)
    try:
        with open_regular(root, os.path.relpath(path, root).replace(os.sep, "/")) as file:
            there = max(0, os.fstat(file.fileno()).st_size - start)
            raw = bytearray(min(size, there))
            file.seek(start)
            got = file.readinto(raw)
    except OSError as error:
        raise ValueError(f"Cannot read binref {reference!r} below output_path {root}: {error.strerror}") from error
    if got != size:
        raise ValueError(f"binref {reference!r} should hold {size} bytes, its file ends after {got}")
    return raw
