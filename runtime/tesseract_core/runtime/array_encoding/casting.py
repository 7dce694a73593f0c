"""From any array-like to an array of a declared shape and dtype."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tesseract_core.masked import warn_of_masked
from tesseract_core.runtime.array_encoding import errors
from tesseract_core.runtime.array_encoding.allowance import take
from tesseract_core.runtime.array_encoding.dtypes import DTYPES, AnyShape, castable

NUMERIC_KINDS = "biufc"
# np.asarray of these makes an array that nobody else holds.
_PLAIN = (list, tuple, bool, int, float, complex)


def coerce(
    value: Any,
    shape: AnyShape,
    dtype: str | None,
    *,
    strict_shapes: bool = False,
    strict_types: bool = False,
    own: bool = True,
    context: Mapping[str, Any] = MappingProxyType({}),
) -> np.ndarray | np.generic:
    """Convert an array-like to a C-ordered array.

    Args:
        value: Numbers, nested sequences of numbers, arrays, anything with `__array__`.
        shape: Declared dimensions; None is free, `...` any rank. Size 1 is broadcast to the declared size.
        dtype: Declared dtype; None keeps the dtype of the value.
        strict_shapes: Do not broadcast.
        strict_types: Do not cast.
        own: Return a writable array that shares no memory with `value`.
        context: Validation context; what broadcasting takes is counted by the `Allowance` in it.

    Returns:
        The array; a NumPy scalar for rank 0.

    Raises:
        PydanticCustomError: One of the `array_*` errors of the contract.
    """
    array = to_numeric(value, dtype)
    target = check_shape(array.shape, shape, strict=strict_shapes)
    result = cast(array, dtype, strict=strict_types, empty_fits=isinstance(value, _PLAIN) and array.size == 0)
    if result.shape != target:
        take(context, math.prod(target) * result.itemsize)
        result = np.broadcast_to(result, target).copy()
    elif own and result is array and not isinstance(value, _PLAIN):
        result = result.copy()
    return result[()] if result.ndim == 0 else result


def to_numeric(value: Any, dtype: str | None = None) -> np.ndarray:
    """Array-like to a C-ordered array of booleans or numbers, without a copy where that is possible.

    `dtype` is what it will be cast to. It matters only for lists of integers of 64 bits or more, which NumPy would turn
    into floats or objects.
    """
    try:
        array = np.asarray(value, order="C")
    except Exception as error:  # ragged lists, and whatever a foreign `__array__` raises
        raise errors.non_numeric(str(error).partition("\n")[0][:200]) from None
    kind, wants_integers = array.dtype.kind, dtype is not None and np.dtype(dtype).kind in "iu"
    if (
        dtype is not None
        and isinstance(value, list | tuple | int)
        and (kind == "O" or (kind == "f" and wants_integers))
    ):
        items = np.array(value, dtype=object)
        if wants_integers and all(type(item) is int for item in items.flat):
            return exact_integers(items, dtype)
        if kind == "O" and all(type(item) in (int, float) for item in items.flat):
            return _as_floats(items, dtype)
    if array.dtype.kind not in NUMERIC_KINDS:
        raise errors.non_numeric()
    warn_of_masked(value)
    return array


def exact_integers(items: np.ndarray, dtype: str) -> np.ndarray:
    """Objects that are Python integers, to an integer dtype."""
    limits = np.iinfo(dtype)
    for item in items.flat:
        if not limits.min <= item <= limits.max:
            raise errors.value_out_of_range(dtype, item)
    return items.astype(dtype)


def _as_floats(items: np.ndarray, dtype: str) -> np.ndarray:
    try:
        return items.astype("float64")
    except OverflowError:
        raise errors.value_out_of_range(dtype, "an integer of more than 1000 bits") from None


def check_shape(actual: tuple[int, ...], declared: AnyShape, *, strict: bool = False) -> tuple[int, ...]:
    """Return the shape that `actual` broadcasts to."""
    if declared is ...:
        return actual
    if len(actual) != len(declared):
        raise errors.dimensionality_mismatch(len(actual), len(declared))
    for size, dim in zip(actual, declared, strict=True):
        if dim is not None and size != dim and (strict or size != 1):
            raise errors.shape_mismatch(actual, declared)
    return tuple(size if dim is None else dim for size, dim in zip(actual, declared, strict=True))


def check_dtype(actual: str, declared: str | None, *, strict: bool = False) -> None:
    """Refuse a dtype that cannot be cast to the declared one (None: any)."""
    if declared is not None and actual != declared and (strict or not castable(actual, declared)):
        raise errors.dtype_mismatch(actual, declared)


def cast(array: np.ndarray, dtype: str | None, *, strict: bool = False, empty_fits: bool = False) -> np.ndarray:
    """Cast to a declared dtype and native byte order, without a copy where nothing changes.

    Args:
        array: Booleans or numbers.
        dtype: Name of the dtype; None keeps that of the array.
        strict: Only byte order may change.
        empty_fits: An array without elements fits any dtype (a list `[]` says nothing about its dtype).
    """
    actual = array.dtype.name
    if dtype is None:
        if actual not in DTYPES:
            raise errors.invalid_dtype(actual)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    target = np.dtype(dtype)
    if array.dtype == target:
        return array
    if empty_fits:
        return array.astype(target)
    check_dtype(actual, dtype, strict=strict)
    return safe_astype(array, target)


def safe_astype(array: np.ndarray, target: np.dtype) -> np.ndarray:
    """`astype` that refuses integers out of range and finite numbers that would become infinite."""
    if array.size == 0 or np.can_cast(array.dtype, target, "safe"):
        return array.astype(target)
    if target.kind in "iu":
        limits = np.iinfo(target)
        # As Python integers: comparing int64 with uint64 in NumPy goes through float64.
        for value in (int(array.min()), int(array.max())):
            if not limits.min <= value <= limits.max:
                raise errors.value_out_of_range(target.name, value)
        return array.astype(target)
    with np.errstate(over="ignore"):
        result = array.astype(target)
    overflown = np.isinf(result)
    if overflown.any():
        overflown &= np.isfinite(array)
        if overflown.any():
            raise errors.value_out_of_range(target.name, array[overflown].flat[0])
    return result
