"""Loads a Tesseract's file into a process that is not its own, which has the same `sys.path` afterwards."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

from tesseract_core import user_code

_lock = threading.RLock()


def load(file: Path) -> ModuleType:
    """Import the Python file `file` (absolute) and return the module, each time a new one with neighbours of its own.

    It can also be imported by its stem if that is the name of no other module.

    Raises whatever it raises; then nothing of it stays in `sys.modules`.
    """
    directory = str(file.parent)
    with _lock:
        package = importlib.import_module(user_code.new_package_name(directory))
        spec = _spec(file, package.__name__)
        module = importlib.util.module_from_spec(spec)
        by_stem = _is_free(file)
        names = [spec.name, *([file.stem] if by_stem else [])]
        # Registered before it runs: pickle and dataclasses look it up.
        sys.modules.update(dict.fromkeys(names, module))
        setattr(package, spec.name.rpartition(".")[2], module)
        try:
            with _own_path(package), neighbours_for_children(directory):
                spec.loader.exec_module(module)  # type: ignore[union-attr]
        except BaseException:
            for name in [*names, *(name for name in sys.modules if name.startswith(f"{package.__name__}."))]:
                sys.modules.pop(name, None)
            raise
        if by_stem:
            module.__name__ = file.stem
        return module


def _spec(file: Path, package: str) -> ModuleSpec:
    name = f"{package}.{file.stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None:
        raise ImportError(f"{file.name} is not a Python file")
    if type(spec.loader) is SourceFileLoader:
        spec.loader = user_code.Loader(name, str(file))
    return spec


def _is_free(file: Path) -> bool:
    if file.stem in sys.modules or "." in file.stem:
        return False
    spec = importlib.util.find_spec(file.stem)
    return spec is None or spec.origin == str(file)


@contextmanager
def _own_path(package: ModuleType) -> Iterator[None]:
    """Within the block, what is added to `sys.path` is added to where `package` looks; afterwards only there."""
    before = sys.path.copy()
    try:
        yield
    finally:
        package.__path__ += [entry for entry in sys.path if entry not in (*before, *package.__path__)]
        sys.path[:] = before


_children_lock = threading.Lock()
_directories: list[str] = []
_outside: str | None = None


@contextmanager
def neighbours_for_children(directory: str) -> Iterator[None]:
    """Within the block, Python programs that are started find the modules in `directory`, by `PYTHONPATH`."""
    global _outside
    with _children_lock:
        if not _directories:
            _outside = os.environ.get("PYTHONPATH")
        _directories.append(directory)
        _tell_children()
    try:
        yield
    finally:
        with _children_lock:
            _directories.remove(directory)
            _tell_children()


def _tell_children() -> None:
    if _directories:
        os.environ["PYTHONPATH"] = os.pathsep.join([*dict.fromkeys(reversed(_directories)), *filter(None, [_outside])])
    elif _outside is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = _outside
