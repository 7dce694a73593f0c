"""The user's module: import it, and check that it defines what a Tesseract needs."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel

GRADIENTS = ("jacobian", "jacobian_vector_product", "vector_jacobian_product")


def load_module_from_path(path: str | os.PathLike[str]) -> ModuleType:
    """Import a Python file under the name of its stem.

    Its directory is appended to `sys.path` and added to `PYTHONPATH`, so that this process and its children find what
    lies beside it.

    Raises:
        ImportError: It is not a file, or raises an exception or exits (which is the cause of this one).
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise ImportError(f"Cannot import {path}: there is no such file")
    directory = str(file.parent)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"Cannot import {path}: it is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    before = sys.path.copy(), os.environ.get("PYTHONPATH"), sys.modules.get(file.stem)
    if directory not in sys.path:
        sys.path.append(directory)
    inherited = [entry for entry in (before[1] or "").split(os.pathsep) if entry and entry != directory]
    os.environ["PYTHONPATH"] = os.pathsep.join([directory, *inherited])
    # Registered before it runs: pickle and dataclasses look it up.
    sys.modules[file.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        _restore(file.stem, *before)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ImportError(f"Cannot import {path}: {type(error).__name__}: {error}") from error
    return module


def _restore(name: str, path: list[str], pythonpath: str | None, module: ModuleType | None) -> None:
    sys.path[:] = path
    if pythonpath is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = pythonpath
    if module is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = module


def get_tesseract_api() -> ModuleType:
    """Import the file that the configuration names (`api_path`). Raises: ImportError."""
    from tesseract_core.runtime.config import get_config

    return load_module_from_path(get_config().api_path)


class NotATesseract(Exception):
    """The user's module is not what it should be. The message is one line for its author."""


@contextmanager
def explained() -> Iterator[None]:
    """Within the block, what is wrong with the module of the configuration is raised as `NotATesseract`."""
    from tesseract_core.runtime.config import get_config

    try:
        yield
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise NotATesseract(f"{get_config().api_path} is not a complete Tesseract API: {reason}") from error


class MissingDefinition(AttributeError, TypeError):
    """A module lacks something that a Tesseract must define."""


def check_tesseract_api(api_module: ModuleType) -> None:
    """Check that a module defines what a Tesseract needs.

    Raises:
        TypeError: A schema or `apply` is missing (`MissingDefinition`) or of the wrong kind, or an endpoint is no plain
            function.
    """
    file = Path(getattr(api_module, "__file__", None) or f"{api_module.__name__}.py").name
    for name in ("InputSchema", "OutputSchema"):
        if not hasattr(api_module, name):
            raise MissingDefinition(f"{file} must define the class {name}, a pydantic.BaseModel")
        schema = getattr(api_module, name)
        if not (isinstance(schema, type) and issubclass(schema, BaseModel)) or schema is BaseModel:
            raise TypeError(f"{name} in {file} must be a subclass of pydantic.BaseModel")
    if not hasattr(api_module, "apply"):
        raise MissingDefinition(f"{file} must define the function apply(inputs)")
    for name in ("apply", *GRADIENTS, "abstract_eval"):
        if hasattr(api_module, name):
            _check_function(getattr(api_module, name), f"{name} in {file}")


def _check_function(function: Any, what: str) -> None:
    if not callable(function):
        raise TypeError(f"{what} must be a function")
    for code in (function, type(function).__call__):
        if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
            raise TypeError(f"{what} is an async function; endpoints are plain functions (use asyncio.run inside)")
