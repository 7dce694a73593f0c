"""Helpers for `tesseract_api.py` modules. Every name of `__all__` is loaded when it is first asked for.

`SKIP_REQUIRED_FILE_CHECK` may be set to True: then `require_file` returns its argument unchecked. The command line
does so where a module is imported without its files at hand (`--help`, `openapi-schema`, image builds).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tesseract_core.runtime.derived_gradients import (
        jacobian_from_jvp,
        jacobian_from_vjp,
        jvp_from_jacobian,
        vjp_from_jacobian,
    )
    from tesseract_core.runtime.experimental.binref import BinrefArray, BinrefWriter
    from tesseract_core.runtime.experimental.lazy_sequence import LazySequence
    from tesseract_core.runtime.experimental.path_types import InputPath, OutputPath, require_file
    from tesseract_core.runtime.experimental.tesseract_reference import TesseractReference
    from tesseract_core.runtime.finite_differences import (
        finite_difference_jacobian,
        finite_difference_jvp,
        finite_difference_vjp,
    )
    from tesseract_core.runtime.mpa import log_artifact, log_metric, log_parameter
    from tesseract_core.runtime.vjp_cache import set_jax_vjp_cache_size

__all__ = [
    "BinrefArray",
    "BinrefWriter",
    "InputPath",
    "LazySequence",
    "OutputPath",
    "TesseractReference",
    "finite_difference_jacobian",
    "finite_difference_jvp",
    "finite_difference_vjp",
    "jacobian_from_jvp",
    "jacobian_from_vjp",
    "jvp_from_jacobian",
    "log_artifact",
    "log_metric",
    "log_parameter",
    "require_file",
    "set_jax_vjp_cache_size",
    "vjp_from_jacobian",
]

SKIP_REQUIRED_FILE_CHECK: bool = False

_HOME_OF = {
    "BinrefArray": "experimental.binref",
    "BinrefWriter": "experimental.binref",
    "InputPath": "experimental.path_types",
    "LazySequence": "experimental.lazy_sequence",
    "OutputPath": "experimental.path_types",
    "TesseractReference": "experimental.tesseract_reference",
    "finite_difference_jacobian": "finite_differences",
    "finite_difference_jvp": "finite_differences",
    "finite_difference_vjp": "finite_differences",
    "jacobian_from_jvp": "derived_gradients",
    "jacobian_from_vjp": "derived_gradients",
    "jvp_from_jacobian": "derived_gradients",
    "log_artifact": "mpa",
    "log_metric": "mpa",
    "log_parameter": "mpa",
    "require_file": "experimental.path_types",
    "set_jax_vjp_cache_size": "vjp_cache",
    "vjp_from_jacobian": "derived_gradients",
}
# Of an older contract; each use warns and names its successor.
_DEPRECATED = {"InputFileReference": "InputPath", "OutputFileReference": "OutputPath"}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(import_module(f"tesseract_core.runtime.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    if name in _DEPRECATED:
        import warnings

        from tesseract_core.runtime.experimental import path_types

        warnings.warn(f"{name} is deprecated; use {_DEPRECATED[name]}", DeprecationWarning, stacklevel=2)
        return getattr(path_types, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
