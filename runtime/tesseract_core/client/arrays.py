"""Anything with `__array__` to arrays of NumPy that can travel."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from tesseract_core.masked import warn_of_masked

# What the array types of the contract can hold: booleans, (unsigned) integers, floats, complex numbers.
_NUMERIC_KINDS = "biufc"
_WIDEST = {"f": "float64", "c": "complex128"}
_warned: list[str] = []


def to_numpy(value: Any) -> np.ndarray:
    """Array-like to a C-ordered array of native byte order; detached from torch's graph and copied from a GPU.

    Raises:
        ValueError: It holds something else than numbers, or numbers that no dtype of the contract can hold.
    """
    if getattr(value, "requires_grad", False):
        value = detached(value)
    if hasattr(value, "__cuda_array_interface__"):
        for to_host in ("cpu", "get", "copy_to_host"):  # torch, CuPy, Numba
            if hasattr(value, to_host):
                value = getattr(value, to_host)()
                break
    warn_of_masked(value)
    array = np.asarray(value, order="C")
    if array.dtype.kind not in _NUMERIC_KINDS:
        raise ValueError(f"Cannot send an array of dtype {array.dtype}; convert it to a NumPy number type first")
    widest = _WIDEST.get(array.dtype.kind)
    if widest is not None and array.dtype.itemsize > np.dtype(widest).itemsize:
        array = _narrowed(array, widest)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _narrowed(array: np.ndarray, dtype: str) -> np.ndarray:
    """`longdouble` to double precision, as in process."""
    with np.errstate(over="ignore"):
        result = array.astype(dtype)
    if bool((np.isinf(result) & np.isfinite(array)).any()):
        raise ValueError(f"Cannot send an array of dtype {array.dtype}: a value does not fit into {dtype}")
    return result


def detached(tensor: Any) -> Any:
    """A tensor of torch without its history; the first time with a warning, because no gradient will come back."""
    torch = sys.modules.get("torch")
    if not _warned and (torch is None or torch.is_grad_enabled()):
        _warned.append("detached")
        warnings.warn(
            "a tensor that requires a gradient is detached before it goes to a Tesseract: no gradient flows back "
            "through this call. Call .detach() where that is meant, or use tesseract-torch to differentiate through "
            "Tesseracts",
            UserWarning,
            stacklevel=2,
        )
    return tensor.detach()
