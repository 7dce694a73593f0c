"""Masked arrays of NumPy: no array type of ours has a mask."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np


def warn_of_masked(value: Any) -> None:
    """Warn if `value` is an array with masked items: the numbers below its mask are what will be computed with."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        warnings.warn(
            "a masked array loses its mask on the way to or from a Tesseract, and the numbers below it count. "
            "Fill it first, for example with .filled(numpy.nan)",
            UserWarning,
            stacklevel=3,
        )
