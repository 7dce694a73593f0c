"""Turns the imports in a Tesseract's source, so that `import utils` means the `utils` in the Tesseract's directory."""

from __future__ import annotations

import ast
import importlib.util
import sys
from importlib.machinery import PathFinder
from typing import Any

from tesseract_core.user_code.reserved import is_reserved


def turned(source: Any, filename: str, package: str, inside: str) -> ast.Module:
    """Parse `source` and turn its imports.

    Args:
        source: Text, or bytes in the encoding that they declare.
        filename: For messages.
        package: The package of the Tesseract's directory.
        inside: The package that the module is in, `package` for one that lies in the directory itself.

    Raises:
        SyntaxError: As Python would.
    """
    tree = ast.parse(source, filename)
    visited: ast.Module = _Turn(package, inside).visit(tree)
    return visited


class _Turn(ast.NodeTransformer):
    def __init__(self, package: str, inside: str) -> None:
        self._package = package
        # How many dots of a relative import stay among the Tesseract's own packages.
        self._depth = inside.count(".") - package.count(".")
        self._ours: dict[str, bool] = {}

    def visit_Import(self, node: ast.Import) -> Any:
        return [_at(part, node) for alias in node.names for part in self._import(alias)]

    def _import(self, alias: ast.alias) -> list[ast.Import]:
        top, _, below = alias.name.partition(".")
        if not self._is_ours(top):
            return [ast.Import([alias])]
        qualified = f"{self._package}.{alias.name}"
        if alias.asname or not below:
            return [ast.Import([ast.alias(qualified, alias.asname or top)])]
        # `import pkg.mod` binds `pkg`, after both are imported.
        return [ast.Import([ast.alias(qualified, top)]), ast.Import([ast.alias(f"{self._package}.{top}", top)])]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        if node.level > self._depth:
            reason = "beyond top-level package" if self._depth else "with no known parent package"
            problem = ast.parse(f"raise ImportError('attempted relative import {reason}')").body[0]
            return _at(problem, node)
        if node.level or not node.module or not self._is_ours(node.module.partition(".")[0]):
            return node
        return _at(ast.ImportFrom(f"{self._package}.{node.module}", node.names, 0), node)

    def _is_ours(self, name: str) -> bool:
        if name not in self._ours:
            self._ours[name] = not is_reserved(name) and self._find(name)
        return self._ours[name]

    def _find(self, name: str) -> bool:
        """Whether a name means a module of the Tesseract, as if its directory came first in `sys.path`.

        So does a name that nobody has: it may be there when the import runs, and the error is the same.
        """
        here = PathFinder.find_spec(name, list(sys.modules[self._package].__path__))
        if here is not None and here.loader is not None:
            return True
        if name in sys.modules:
            return False
        elsewhere = importlib.util.find_spec(name)
        return elsewhere is None or (elsewhere.loader is None and here is not None)


def _at(node: ast.stmt, place: ast.stmt) -> ast.stmt:
    """Give a new statement, with its parts, the place of the one that it replaces."""
    for part in ast.walk(node):
        ast.copy_location(part, place)
    return node
