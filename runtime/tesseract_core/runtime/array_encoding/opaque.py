"""Arrays that live elsewhere: on a GPU, or in a file (`BinrefArray`). They are checked by their metadata alone."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tesseract_core.runtime.array_encoding import errors
from tesseract_core.runtime.array_encoding.casting import check_shape
from tesseract_core.runtime.array_encoding.dtypes import AnyShape


def is_opaque(value: Any) -> bool:
    """Whether `value` is such an array."""
    if isinstance(value, np.ndarray | np.generic | list | tuple | int | float | complex | dict | str):
        return False
    return hasattr(value, "to_arraydict") or hasattr(value, "__cuda_array_interface__")


def check_opaque(value: Any, shape: AnyShape, dtype: str | None) -> Any:
    """Return `value` if its metadata is exactly what is declared (None: any).

    Raises:
        PydanticCustomError: It is not; nothing is cast or broadcast, since that would need the data.
    """
    if hasattr(value, "to_arraydict"):
        actual_shape, actual_dtype = tuple(value.shape), str(np.dtype(value.dtype))
        reason = "arrays in files are not cast"
    else:
        interface = value.__cuda_array_interface__
        actual_shape, actual_dtype = tuple(interface["shape"]), np.dtype(interface["typestr"]).name
        reason = "arrays on a GPU are not cast"
    check_shape(actual_shape, shape, strict=True)
    if dtype is not None and actual_dtype != dtype:
        raise errors.dtype_mismatch(actual_dtype, dtype, reason)
    return value


def to_host(value: Any) -> np.ndarray:
    """Copy into host memory.

    Raises:
        RuntimeError: `TESSERACT_FORBID_DEVICE_HOST_COPY` is set and the array lives on a GPU.
    """
    if hasattr(value, "to_arraydict"):
        return np.asarray(value.load())
    if os.environ.get("TESSERACT_FORBID_DEVICE_HOST_COPY", "").lower() in ("1", "true"):
        raise RuntimeError("An array would be copied from the GPU, which TESSERACT_FORBID_DEVICE_HOST_COPY forbids")
    if getattr(value, "requires_grad", False):
        value = value.detach()
    for method in ("cpu", "get", "copy_to_host"):  # torch, CuPy, Numba
        if hasattr(value, method):
            return np.asarray(getattr(value, method)())
    return np.asarray(value)
