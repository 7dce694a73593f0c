"""The dtypes of the contract and the rules by which one turns into another."""

from __future__ import annotations

from functools import cache
from types import EllipsisType
from typing import Literal, get_args

import numpy as np

DType = Literal[
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
]
DTYPES: tuple[str, ...] = get_args(DType)

Shape = tuple[int | None, ...]
"""Declared dimensions; None accepts any size."""

AnyShape = Shape | EllipsisType
"""Declared dimensions, or `...` for any rank."""


@cache
def castable(actual: str, expected: str) -> bool:
    """Whether arrays may be cast: NumPy's `same_kind` rule, or any integer dtype to any other."""
    source, target = np.dtype(actual), np.dtype(expected)
    both_integers = source.kind in "iu" and target.kind in "iu"
    return both_integers or np.can_cast(source, target, "same_kind")


def castable_dtypes(expected: str | None) -> tuple[str, ...]:
    """The dtypes that arrays of a declared dtype (None: any) may arrive in."""
    return DTYPES if expected is None else tuple(name for name in DTYPES if castable(name, expected))
