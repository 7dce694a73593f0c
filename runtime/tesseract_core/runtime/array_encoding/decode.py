"""Encoded arrays to NumPy: `{"object_type": "array", "shape": […], "dtype": …, "data": {"buffer": …, "encoding": …}}`.

The size that shape and dtype declare bounds everything that is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pybase64
from pydantic_core import PydanticCustomError

from tesseract_core import framing
from tesseract_core.runtime.array_encoding import errors
from tesseract_core.runtime.array_encoding.allowance import take
from tesseract_core.runtime.array_encoding.binref import parse_binref, read_binref
from tesseract_core.runtime.array_encoding.casting import cast, exact_integers
from tesseract_core.runtime.array_encoding.dtypes import DTYPES
from tesseract_core.runtime.array_encoding.lists import is_text, leaf_types

_ARRAY_KEYS = frozenset({"object_type", "shape", "dtype", "data"})
_DATA_KEYS = frozenset({"buffer", "encoding", "compression"})
ENCODINGS = ("json", "base64", "binref", "cuda_ipc")
BUFFERS = "buffers"
"""Key of the context under which the buffers of a body are found, for arrays that refer to them."""
# No LZ4 block can hold more than 255 bytes per byte of its own.
_LZ4_MAX_RATIO = 255


def is_encoded_array(value: Any) -> bool:
    """Whether a value is meant as an encoded array, well-formed or not."""
    return isinstance(value, Mapping) and not _ARRAY_KEYS.isdisjoint(value)


def is_whole(value: Mapping[str, Any]) -> bool:
    """Whether a mapping has all that an encoded array consists of, and nothing else."""
    data = value.get("data")
    return (
        len(value) == 3 + ("object_type" in value)
        and "shape" in value
        and "dtype" in value
        and isinstance(data, Mapping)
        and "buffer" in data
        and "encoding" in data
    )


def decode_items(value: Any, context: Mapping[str, Any]) -> Any:
    """Nested lists of numbers, with arrays in place of the encoded arrays in them.

    Raises:
        PydanticCustomError: There is text in them, or an array cannot be decoded.
    """
    kinds = leaf_types(value)
    if any(map(is_text, kinds)):
        raise errors.non_numeric("text")
    return _decoded_items(value, context) if dict in kinds else value


def _decoded_items(node: Any, context: Mapping[str, Any]) -> Any:
    if isinstance(node, list | tuple):
        return [_decoded_items(item, context) for item in node]
    return decode_array(node, context) if is_encoded_array(node) else node


def parse_header(encoded: Mapping[str, Any]) -> tuple[tuple[int, ...], str]:
    """Check keys, shape and dtype of an encoded array, before its data is touched.

    Returns:
        Shape and name of the dtype.

    Raises:
        PydanticCustomError: The form is wrong.
    """
    if extra := encoded.keys() - _ARRAY_KEYS:
        raise errors.malformed("extra_forbidden", f"unknown key {_shown(min(extra, key=str))}")
    if missing := [key for key in ("shape", "dtype", "data") if key not in encoded]:
        raise errors.malformed("missing", f"it lacks {missing[0]!r}")
    if encoded.get("object_type", "array") != "array":
        raise errors.malformed("literal_error", "'object_type' must be 'array'")
    shape, dtype = encoded["shape"], encoded["dtype"]
    if not isinstance(shape, list | tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise errors.malformed("array_invalid_shape", f"'shape' must list non-negative integers, got {_shown(shape)}")
    if len(shape) > 64:
        raise errors.malformed("array_invalid_shape", "an array has at most 64 dimensions")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise errors.invalid_dtype(dtype)
    # NumPy's limit holds for arrays without elements, too.
    if 0 in shape and math.prod(size or 1 for size in shape) * np.dtype(dtype).itemsize >= 2**63:
        raise errors.malformed("array_invalid_shape", f"no array can have the shape {_shown(shape)}")
    return tuple(shape), dtype


def decode_array(encoded: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> np.ndarray:
    """Decode an encoded array.

    Args:
        encoded: The parsed JSON object.
        context: `base_dir` and `binref_dir`, for arrays in files; `buffers`, for arrays behind the text of a body.

    Returns:
        A writable array of the encoded shape and dtype that shares no memory with `encoded`.

    Raises:
        PydanticCustomError: The form is wrong or the data does not fit it.
    """
    shape, dtype = parse_header(encoded)
    data = encoded["data"]
    if not isinstance(data, Mapping):
        raise errors.malformed("model_type", "'data' must be an object with 'buffer' and 'encoding'")
    if missing := [key for key in ("buffer", "encoding") if key not in data]:
        raise errors.malformed("missing", f"'data' lacks {missing[0]!r}")
    if extra := data.keys() - _DATA_KEYS:
        raise errors.malformed("extra_forbidden", f"unknown key {_shown(min(extra, key=str))} in 'data'")
    buffer, encoding, compression = data["buffer"], data["encoding"], data.get("compression")
    context = context or {}
    if encoding not in ENCODINGS and not (encoding == framing.ENCODING and BUFFERS in context):
        known = ", ".join(ENCODINGS[:3])
        raise errors.malformed("union_tag_invalid", f"unknown encoding {_shown(encoding)}; use one of: {known}")
    if compression not in ((None,) if encoding in ("json", "cuda_ipc") else (None, "lz4")):
        raise errors.malformed("literal_error", f"compression {_shown(compression)} cannot be used with {encoding}")
    if encoding == "json":
        return _from_json(buffer, shape, dtype)
    if encoding == "cuda_ipc":
        raise errors.decode_error(encoding, "this GPU transport is not enabled here")
    if not isinstance(buffer, str):
        raise errors.malformed("string_type", "'buffer' must be a string")
    try:
        raw = _read_bytes(buffer, encoding, compression, math.prod(shape) * np.dtype(dtype).itemsize, context)
    except PydanticCustomError:
        raise
    except (ValueError, MemoryError) as error:
        raise errors.decode_error(encoding, str(error) or "out of memory") from None
    return _from_bytes(raw, shape, dtype)


def _read_bytes(
    buffer: str, encoding: str, compression: str | None, size: int, context: Mapping[str, Any]
) -> bytearray:
    if encoding == framing.ENCODING:
        given = framing.buffer(context[BUFFERS], buffer)
        if compression is not None:
            return _decompress(given, size, context)
        if len(given) != size:
            raise ValueError(f"expected {size} bytes, got {len(given)}")
        take(context, size)
        return bytearray(given)
    if encoding == "binref":
        ref = parse_binref(buffer)
        if compression is None:
            return read_binref(ref, size, context)  # type: ignore[arg-type]
        if ref.compressed_size is None:
            raise ValueError("a compressed array needs <path>:<offset>:<compressed_size>")
        data = read_binref(ref, ref.compressed_size, context)  # type: ignore[arg-type]
        return _decompress(data, size, context, "files")
    if compression is None and len(buffer) > 4 * -(-size // 3):
        raise ValueError(f"expected {size} bytes, got more ({len(buffer)} base64 characters)")
    raw = pybase64.b64decode_as_bytearray(buffer, validate=True)
    if compression is not None:
        return _decompress(raw, size, context)
    if len(raw) != size:
        raise ValueError(f"expected {size} bytes, got {len(raw)}")
    return raw


def _decompress(data: bytearray | memoryview, size: int, context: Mapping[str, Any], kind: str = "memory") -> bytearray:
    """Decompress an LZ4 frame of exactly `size` bytes, never allocating much more than that."""
    try:
        import lz4.frame
    except ModuleNotFoundError:
        raise ValueError("lz4 is not installed here: pip install lz4") from None
    if size > _LZ4_MAX_RATIO * len(data):
        raise ValueError(f"{len(data)} compressed bytes cannot hold {size} bytes")
    take(context, size, kind)
    decompressor = lz4.frame.LZ4FrameDecompressor(return_bytearray=True)
    try:
        # One byte more than wanted, to notice when there are more.
        raw = decompressor.decompress(data, max_length=size + 1)
    except RuntimeError as error:
        raise ValueError(f"not an LZ4 frame ({error})") from None
    if len(raw) > size:
        raise ValueError(f"decompressed data exceeds the {size} bytes that shape and dtype declare")
    if len(raw) < size or not decompressor.eof:
        raise ValueError(f"expected {size} bytes, got {len(raw)}, or the LZ4 frame is incomplete")
    return raw


def _from_bytes(raw: bytearray, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if not raw:
        return np.empty(shape, dtype)
    array = np.frombuffer(raw, np.dtype(dtype).newbyteorder("<"))
    if dtype == "bool":
        array = array.view("uint8") != 0  # any other byte than 0 and 1 would be undefined behaviour
    return array.astype(dtype, copy=False).reshape(shape)


def _from_json(buffer: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    array = _json_numbers(buffer, dtype)
    if dtype == "bool" and array.dtype.kind in "iu" and bool(((array == 0) | (array == 1)).all()):
        array = array.astype(bool)
    array = cast(array, dtype, empty_fits=array.size == 0)
    if array.size != math.prod(shape):
        raise errors.decode_error("json", f"shape {shape} takes {math.prod(shape)} numbers, got {array.size}")
    return array.reshape(shape)


def _json_numbers(buffer: Any, dtype: str) -> np.ndarray:
    """Nested lists of numbers to an array; null is NaN, complex numbers are strings. Other strings are never parsed."""
    kind = np.dtype(dtype).kind
    has_text = any(map(is_text, leaf_types(buffer if isinstance(buffer, list | tuple) else [buffer])))
    if has_text and kind != "c":
        raise errors.non_numeric("text")
    try:
        # With text in it, it would grow to an array of texts.
        array = np.array(buffer, dtype=object if has_text else None, order="C")
        if array.dtype.kind in "biufc" and not (array.dtype.kind == "f" and kind in "iu"):
            return array
        items = np.array(buffer, dtype=object)
        if kind == "c":
            return np.array([_complex(item) for item in items.flat], dtype)
        if kind == "f" and all(item is None or isinstance(item, int | float) for item in items.flat):
            return items.astype("float64")
        if kind in "iu" and all(isinstance(item, int | float) for item in items.flat):
            return exact_integers(_whole_numbers(items), dtype)
    except PydanticCustomError:
        raise
    except OverflowError:
        raise errors.value_out_of_range(dtype, "an integer of more than 1000 bits") from None
    except (ValueError, TypeError):
        raise errors.non_numeric("lists of unequal length, or something else than numbers") from None
    raise errors.non_numeric()


def _whole_numbers(items: np.ndarray) -> np.ndarray:
    """Floats without a fraction, and integers, to Python integers."""
    if not all(isinstance(item, int) or item.is_integer() for item in items.flat):
        raise errors.expected_integer()
    return np.array([int(item) for item in items.flat], dtype=object)


def _complex(item: Any) -> complex:
    return complex("nan") if item is None else complex(item)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
