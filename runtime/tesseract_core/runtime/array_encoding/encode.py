"""NumPy to encoded arrays. Bytes are C-ordered and little-endian."""

from __future__ import annotations

import warnings
from collections.abc import MutableMapping
from typing import Any

import numpy as np
import orjson
import pybase64

from tesseract_core import framing
from tesseract_core.runtime.array_encoding.binref import write_binref
from tesseract_core.runtime.array_encoding.casting import NUMERIC_KINDS, safe_astype
from tesseract_core.runtime.array_encoding.decode import BUFFERS
from tesseract_core.runtime.array_encoding.dtypes import DTYPES, castable
from tesseract_core.runtime.array_encoding.opaque import is_opaque, to_host
from tesseract_core.runtime.array_encoding.splice import Splice


def encode_array(value: Any, context: MutableMapping[str, Any], dtype: str | None = None) -> dict[str, Any]:
    """Encode an array as a JSON-ready dict.

    Args:
        value: Array, NumPy scalar, number (a default that was never validated), or an array that lives elsewhere.
        context: `array_encoding` (`json`, the default, `base64`, `binref` or `binary`), `compression` (None or `lz4`),
            for `binref` also `base_dir`, `binref_dir` and `max_file_size`, for `binary` also `buffers`, which collects.
        dtype: Declared dtype, for values that have none of their own.

    Raises:
        TypeError: `value` holds something else than numbers. In a union, pydantic then tries the next type.
    """
    encoding = context.get("array_encoding", "json")
    if is_opaque(value):
        if encoding == "binref" and hasattr(value, "to_arraydict"):
            return value.to_arraydict()
        if hasattr(value, "to_arraydict"):
            warnings.warn(f"loading an array from a file to send it as {encoding}", RuntimeWarning, stacklevel=2)
        value = to_host(value)
    array = np.asarray(value, order="C")
    if array.dtype.kind not in NUMERIC_KINDS:  # of Python objects the bytes are addresses
        raise TypeError(f"an array of dtype {array.dtype} holds no numbers that could be sent")
    if array.dtype.name not in DTYPES:  # longdouble, and its complex form
        array = safe_astype(array, np.dtype("complex128" if array.dtype.kind == "c" else "float64"))
    if dtype is not None and not hasattr(value, "dtype") and castable(array.dtype.name, dtype):
        array = array.astype(dtype)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return {
        "object_type": "array",
        "shape": array.shape,
        "dtype": array.dtype.name,
        "data": _data(array, encoding, context),
    }


def _data(array: np.ndarray, encoding: str, context: MutableMapping[str, Any]) -> dict[str, Any]:
    splice: Splice | None = context.get("__splice")
    if encoding == "json":
        return {"buffer": splice.json(_json_text(array)) if splice else _json_numbers(array), "encoding": "json"}
    compression = context.get("compression")
    raw = _compress(array) if compression == "lz4" else (array.data.cast("B") if array.size else b"")
    if encoding == "base64":
        data = {"buffer": splice.base64(raw) if splice else pybase64.b64encode_as_string(raw), "encoding": encoding}
    elif encoding == framing.ENCODING:
        data = {"buffer": context[BUFFERS].add(raw), "encoding": encoding}
    elif encoding == "binref":
        reference = write_binref(raw, context)
        data = {"buffer": f"{reference}:{len(raw)}" if compression else reference, "encoding": encoding}
    else:
        raise ValueError(f"Unknown array encoding {encoding!r}; use json, base64 or binref")
    return {**data, "compression": compression} if compression else data


def _compress(array: np.ndarray) -> bytes:
    import lz4.frame

    return lz4.frame.compress(array.data.cast("B") if array.size else b"")


def _json_numbers(array: np.ndarray) -> Any:
    """Nested lists; NaN and infinities are None, complex numbers strings like `1+2j`."""
    if array.dtype.kind == "c":
        return _nested_strings(array)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        boxed = array.astype(object)
        boxed[~np.isfinite(array)] = None
        return boxed.tolist()
    return array.tolist()


def _json_text(array: np.ndarray) -> bytes:
    """The same as JSON text; floats are written as the shortest text of their value in double precision."""
    if array.ndim == 0 or array.dtype.kind == "c" or array.size == 0:
        return orjson.dumps(_json_numbers(array))
    if array.dtype.kind == "f":
        array = array.astype("float64", copy=False)
    return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)


def _nested_strings(array: np.ndarray) -> Any:
    if array.ndim == 0:
        return str(array.item()).strip("()")
    return [_nested_strings(item) for item in array]
