"""The errors that arrays can have: `PydanticCustomError`s, hence `ValueError`s, with a machine-readable `ctx`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from tesseract_core.runtime.array_encoding.dtypes import DTYPES, Shape


def dimensionality_mismatch(actual: int, expected: int) -> PydanticCustomError:
    return _error(
        "array_dimensionality_mismatch",
        f"Array has wrong number of dimensions: got {actual}D, expected {expected}D",
        {"actual_dims": actual, "expected_dims": expected},
    )


def shape_mismatch(actual: tuple[int, ...], expected: Shape) -> PydanticCustomError:
    """`expected` may hold None for free dimensions; they are shown with the actual size."""
    filled = tuple(size if dim is None else dim for size, dim in zip(actual, expected, strict=True))
    return _error(
        "array_shape_mismatch",
        f"Array shape {actual} is incompatible with expected shape {filled}",
        {"actual_shape": actual, "expected_shape": filled},
    )


def abstract_shape_mismatch(actual: tuple[int, ...], expected: Shape) -> PydanticCustomError:
    """The same of a `ShapeDType`, in the words that tests of client packages look for."""
    message = f"Expected shape: {expected}. Found: {actual}."
    if len(actual) != len(expected):
        dims = {"actual_dims": len(actual), "expected_dims": len(expected)}
        return _error("array_dimensionality_mismatch", message, dims)
    return _error("array_shape_mismatch", message, {"actual_shape": actual, "expected_shape": expected})


def dtype_mismatch(actual: str, expected: str, no_cast_reason: str | None = None) -> PydanticCustomError:
    context = {"actual_dtype": actual, "expected_dtype": expected}
    if no_cast_reason is None:
        return _error("array_dtype_mismatch", f"Array dtype {actual!r} cannot be cast to {expected!r}", context)
    return _error(
        "array_dtype_mismatch",
        f"Array dtype {actual!r} is not the expected {expected!r} ({no_cast_reason})",
        {**context, "no_cast_reason": no_cast_reason},
    )


def value_out_of_range(dtype: str, value: object) -> PydanticCustomError:
    return _error(
        "array_value_out_of_range",
        f"Array values do not fit into dtype {dtype!r} (e.g. {value})",
        {"expected_dtype": dtype, "value": str(value)},
    )


def expected_integer() -> PydanticCustomError:
    return _error("array_expected_integer", "Array of an integer dtype holds a number with a fraction", None)


def non_numeric(reason: str = "") -> PydanticCustomError:
    # The words are those that client packages look for; the reason follows them.
    message = "Could not parse value as a numeric array (contains non-numeric data)"
    return _error("array_non_numeric", message + (f": {reason}" if reason else ""), None)


def invalid_dtype(actual: object) -> PydanticCustomError:
    allowed = ", ".join(DTYPES)
    return _error(
        "array_invalid_dtype",
        f"Array dtype {str(actual)[:80]!r} is not supported; use one of: {allowed}",
        {"actual_dtype": str(actual)[:80], "allowed_dtypes": allowed},
    )


def decode_error(encoding: str, reason: object) -> PydanticCustomError:
    return _error(
        "array_decode_error",
        f"Failed to decode array buffer ({encoding} encoding): {reason}",
        {"encoding": encoding, "error": str(reason)},
    )


def too_large(limit: int) -> PydanticCustomError:
    message = f"The arrays of this request take more than {limit} bytes"
    return _error("array_too_large", message, {"limit": limit})


def malformed(kind: str, message: str) -> PydanticCustomError:
    """The encoded form itself is wrong: a key is missing or unknown, or has a value of the wrong kind."""
    return _error(kind, f"Malformed encoded array: {message}", None)


def _error(kind: str, message: str, context: Mapping[str, Any] | None) -> PydanticCustomError:
    # Only names of `context` are expanded in a message, so text of a client cannot reach anything else.
    return PydanticCustomError(kind, message, dict(context) if context else None)
