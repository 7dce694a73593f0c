"""Tesseracts: containerised, typed, differentiable components.

The five public names are resolved on first use: from the host package `tesseract` where that is installed (it builds
and serves images), else `Tesseract` alone from the client that lives beside the runtime. Importing this package costs
nothing.
"""

from __future__ import annotations

from tesseract_core._version import __version__ as __version__

# Type checkers take this as true by its name; importing `typing` for it would cost more than all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tesseract.sdk import Tesseract, build_tesseract, run_tesseract, serve, teardown

__all__ = ["Tesseract", "build_tesseract", "run_tesseract", "serve", "teardown"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = _resolve(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _resolve(name: str) -> Any:
    try:
        import tesseract.sdk as host
    except ModuleNotFoundError as error:
        if error.name not in ("tesseract", "tesseract.sdk"):
            raise
        if name == "Tesseract":
            from tesseract_core.client.tesseract import Tesseract

            return Tesseract
        raise AttributeError(
            f"tesseract_core.{name} needs the host package, which is not installed here: pip install tesseract-core"
        ) from None
    return getattr(host, name)
