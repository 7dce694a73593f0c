"""What a `tesseract_api.py` imports: array types for its schemas, which are loaded, with NumPy, when asked for."""

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

for _package in ("numpy", "orjson", "pybase64", "pydantic"):
    if find_spec(_package) is None:
        print(
            f"The Tesseract runtime needs the Python package {_package!r}, which is not installed here. "
            "Install it with: pip install tesseract-core[runtime]",
            file=sys.stderr,
        )
        raise SystemExit(1)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tesseract_core.runtime import schema_types

    value = getattr(schema_types, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
