"""What a `tesseract_api.py` imports: array types for its schemas. Needs NumPy and pydantic, and loads nothing else."""

import sys

try:
    from tesseract_core.runtime.schema_types import (
        Array,
        Bool,
        Complex64,
        Complex128,
        Differentiable,
        Float16,
        Float32,
        Float64,
        Int8,
        Int16,
        Int32,
        Int64,
        ShapeDType,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
    )
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] == "tesseract_core":
        raise
    print(
        f"The Tesseract runtime needs the Python package {error.name!r}, which is not installed here. "
        "Install it with: pip install tesseract-core[runtime]",
        file=sys.stderr,
    )
    raise SystemExit(1) from error

__all__ = [
    "Array",
    "Bool",
    "Complex64",
    "Complex128",
    "Differentiable",
    "Float16",
    "Float32",
    "Float64",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "ShapeDType",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
]
