"""The user's module: import it, and check that it defines what a Tesseract needs."""

from __future__ import annotations

import importlib.machinery
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
    """Import a Python file into this process, which may hold others: it and its neighbours meet no other modules.

    Neither `sys.path` nor `PYTHONPATH` differ afterwards. The first file of a stem is known by it; any other has a name
    of its own, under which pickles and spawned processes find it (see `tesseract_core.user_code`).

    Raises:
        ImportError: It is not a file, or raises an exception or exits (which is the cause of this one).
    """
    from tesseract_core.user_code.load import load

    file = _existing(path)
    with _as_import_error(path):
        return load(file)


def get_tesseract_api() -> ModuleType:
    """Import the file that the configuration names (`api_path`) as the one Tesseract of this process, under its stem.

    Its directory comes first in `sys.path`, after Python's own modules, and in `PYTHONPATH`, for children.

    Raises:
        ImportError: As `load_module_from_path`. Then all is as before.
    """
    from tesseract_core.runtime.config import get_config
    from tesseract_core.user_code.reserved import is_reserved

    path = get_config().api_path
    file = _existing(path)
    name = f"tesseract_{file.stem}" if is_reserved(file.stem) else file.stem
    before = sys.path.copy(), os.environ.get("PYTHONPATH"), sys.modules.get(name)
    with _as_import_error(path):
        try:
            _make_importable(str(file.parent))
            return _load_under(name, file)
        except BaseException:
            _restore(name, *before)
            raise


def _existing(path: str | os.PathLike[str]) -> Path:
    file = Path(path).resolve()
    if not file.is_file():
        raise ImportError(f"Cannot import {path}: there is no such file")
    if not file.name.endswith(tuple(importlib.machinery.all_suffixes())):
        raise ImportError(f"Cannot import {path}: it is not a Python file (.py)")
    return file


@contextmanager
def _as_import_error(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ImportError(f"Cannot import {path}: {type(error).__name__}: {error}") from error


def _make_importable(directory: str) -> None:
    """Let this process and its children find what lies in `directory`, but never in place of what the runtime needs."""
    from tesseract_core.user_code.reserved import modules_in, reserved_in

    of_python, of_runtime = reserved_in(modules_in(directory))
    _warn(directory, of_python, "Python")
    _warn(directory, of_runtime, "the runtime")
    python = [entry for entry in sys.path if _is_standard_library(entry)]
    others = [entry for entry in sys.path if entry not in (directory, *python)]
    # For children `PYTHONPATH` comes before the standard library; here, too, the directory comes before what is there.
    sys.path[:] = [*python, *others, directory] if of_runtime else [*python, directory, *others]
    if not (of_python or of_runtime):
        inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        os.environ["PYTHONPATH"] = os.pathsep.join([directory, *(entry for entry in inherited if entry != directory)])


def _warn(directory: str, names: list[str], owner: str) -> None:
    if names:
        print(
            f"WARNING: {directory} has modules with names of {owner}'s ({', '.join(names)}): these are not imported, "
            "and child processes do not find this directory. Rename them",
            file=sys.stderr,
            flush=True,
        )


def _is_standard_library(entry: str) -> bool:
    directory = os.path.dirname(os.__file__)
    return entry in (directory, os.path.join(directory, "lib-dynload")) or entry.endswith(
        f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    )


def _load_under(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    # Registered before it runs: pickle and dataclasses look it up.
    sys.modules[name] = module
    spec.loader.exec_module(module)  # type: ignore[union-attr]
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
