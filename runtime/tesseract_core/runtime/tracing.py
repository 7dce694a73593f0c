"""Trace each call of an endpoint: what went in, what came out. Off unless the setting `tracing` is on."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel

from tesseract_core.runtime.config import get_config

MAX_ELEMENTS = 10


class _Stdout(logging.Handler):
    """Writes to what `sys.stdout` is at that moment, so that a run's log gets it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stdout, flush=True)


def get_logger() -> logging.Logger:
    """The logger `tesseract_runtime`: level DEBUG with `tracing`, else INFO."""
    logger = logging.getLogger("tesseract_runtime")
    if not any(isinstance(handler, _Stdout) for handler in logger.handlers):
        handler = _Stdout()
        handler.setFormatter(logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    logger.setLevel(logging.DEBUG if get_config().tracing else logging.INFO)
    return logger


def trace_call(endpoint: str, payload: Any) -> None:
    """Log that `endpoint` is called with `payload` (a model, or nothing)."""
    _trace(f"{endpoint} called with", payload)


def trace_return(endpoint: str, result: Any) -> None:
    """Log what `endpoint` returned."""
    _trace(f"{endpoint} returned", result)


def _trace(what: str, value: Any) -> None:
    logger = get_logger()  # user code may log to it by name, traced or not
    if not logger.isEnabledFor(logging.DEBUG):
        return
    logger.debug("%s\n%s", what, json.dumps(_readable(value), indent=2, ensure_ascii=False))


def _readable(value: Any) -> Any:
    """`value` in terms of JSON, with arrays as text."""
    if value is None:
        return None
    if hasattr(value, "shape") and hasattr(value, "dtype"):  # before numbers: float64 scalars are both
        return _show_array(value)
    if isinstance(value, BaseModel):
        return _readable(dict(value))
    if isinstance(value, Mapping):
        return {str(key): _readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return value if isinstance(value, str | bool | int | float) else str(value)


def _show_array(value: Any) -> str:
    head = f"Array(shape={tuple(value.shape)}, dtype={value.dtype}"
    if not isinstance(value, np.ndarray | np.generic):  # elsewhere, on a device or in a file: not worth fetching
        return f"{head})"
    shown = ", ".join(map(str, value.flat[:MAX_ELEMENTS].tolist()))
    return f"{head}, data=[{shown}{', ...' if value.size > MAX_ELEMENTS else ''}])"
