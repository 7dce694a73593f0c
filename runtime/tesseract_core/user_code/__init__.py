"""Modules of Tesseracts that run in somebody else's process, under names that nobody else's modules have.

What lies in a Tesseract's directory is imported below a package of that directory's own, whose name spells its path:

    /home/me/heat/utils.py    tesseract_core.user_code.in_2f_home_2f_me_2f_heat.utils

So two Tesseracts with a `utils` each, the program that calls them, and a wheel with a `utils` never meet. Any process
that can import `tesseract_core` can import such a module by its name: pickles and spawned workers work. A directory
that is loaded again gets a number, and with it modules of its own.

Importing this package is what makes those names importable.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_PREFIX = f"{__name__}.in"
_DEPTH = _PREFIX.count(".")
_NUMBER = re.compile(r"_23_(\d+)$")


def package_name(directory: str, number: int = 0) -> str:
    """Name of the package whose modules are the files in `directory` (absolute), for its load `number`."""
    spelled = re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):x}_", directory)
    return f"{_PREFIX}{spelled}{f'_23_{number}' if number else ''}"


def new_package_name(directory: str) -> str:
    """Name of a package for `directory` that has not been imported in this process."""
    number = 0
    while package_name(directory, number) in sys.modules:
        number += 1
    return package_name(directory, number)


def _directory_of(package: str) -> str:
    spelled = _NUMBER.sub("", package.removeprefix(_PREFIX))
    return re.sub(r"_([0-9a-f]+)_", lambda match: chr(int(match[1], 16)), spelled)


def plain_name(name: str) -> str:
    """Name of a module as its author writes it: without the package of its directory."""
    return name.removeprefix(_PREFIX).partition(".")[2] if name.startswith(_PREFIX) else name


def neighbour(module: ModuleType, name: str) -> ModuleType | None:
    """The imported module that the author of `module`, which lies in its Tesseract's directory, means by `name`."""
    own = module.__spec__.name if module.__spec__ else ""
    return sys.modules.get(f"{own.rpartition('.')[0]}.{name}") if own.startswith(_PREFIX) else None


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_PREFIX):
            return None
        if "." not in fullname.removeprefix(_PREFIX):
            package = ModuleSpec(fullname, None, is_package=True)
            package.submodule_search_locations = [_directory_of(fullname)]
            return package
        # `sys.path` for what a Tesseract adds to it while it is loaded.
        beside_api = fullname.count(".") == _DEPTH + 1
        spec = PathFinder.find_spec(fullname, [*(path or ()), *(sys.path if beside_api else ())])
        if spec is None:
            name = plain_name(fullname)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if type(spec.loader) is SourceFileLoader:
            spec.loader = Loader(fullname, spec.loader.path)
        return spec


class Loader(SourceFileLoader):
    """Loads a file of a Tesseract, with its imports of neighbours turned to the package of their directory."""

    def get_code(self, fullname: str) -> Any:
        from tesseract_core.user_code.imports import turned

        # The cache of byte code beside the file is for the code as it is written.
        package = ".".join(fullname.split(".")[: _DEPTH + 1])
        inside = fullname if self.is_package(fullname) else fullname.rpartition(".")[0]
        tree = turned(self.get_data(self.path), self.path, package, inside)
        return compile(tree, self.path, "exec", dont_inherit=True)


class _Explainer(MetaPathFinder):
    """Asked when nobody else has a module: says why a Tesseract's own are not found by names computed at run time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        frame = sys._getframe(1)
        while path is None and frame.f_back is not None and frame.f_code is not importlib.util.find_spec.__code__:
            spec = frame.f_globals.get("__spec__")
            if (name := getattr(spec, "name", "")).startswith(_PREFIX):
                package = sys.modules[".".join(name.split(".")[: _DEPTH + 1])]
                if PathFinder.find_spec(fullname, package.__path__) is not None:
                    raise ModuleNotFoundError(_EXPLANATION.format(name=fullname), name=fullname)
                return None
            frame = frame.f_back
        return None


_EXPLANATION = (
    "No module named {name!r}. In a process that is not the Tesseract's own, the modules beside tesseract_api.py are "
    "found by import statements only, not by names in pickles or in import_module(). Where such names are needed, say "
    "in tesseract_api.py: import {name}; sys.modules[{name!r}] = {name}"
)
sys.meta_path.append(_Explainer())
# Before the finder of `sys.path`, which would find the same files and load them as they are.
sys.meta_path.insert(0, _Finder())
