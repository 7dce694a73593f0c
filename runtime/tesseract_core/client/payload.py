"""Payload trees to trees of JSON values: what pydantic accepts in process travels, or is refused with its path."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set, ValuesView
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np

from tesseract_core import fields
from tesseract_core.client.arrays import to_numpy

_SIMPLE = frozenset({str, bool, int, float, type(None)})
_INT64 = range(-(2**63), 2**64)
_MAX_BITS = 14_000  # of an integer in JSON text: Python reads at most 4300 digits


class _Unsendable(Exception):
    """A leaf or key that cannot be sent. `path` grows on the way out."""

    def __init__(self, kind: type[Exception], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.path: list[str] = []

    def as_error(self) -> Exception:
        where = f"{'.'.join(reversed(self.path))}: " if self.path else ""
        return self.kind(f"{where}{self}")


class Tree:
    """A payload as mappings with text keys, lists and JSON values.

    Args:
        payload: What a user gave.
        array: Makes the encoded form of an array.

    Attributes:
        root: The tree.
        is_finite: Whether all of its numbers have a form in strict JSON.

    Raises:
        TypeError: A leaf or key that JSON cannot express; the message begins with its path.
        ValueError: The same for an array of a dtype that no Tesseract knows.
    """

    def __init__(self, payload: Any, array: Callable[[np.ndarray], dict[str, Any]]) -> None:
        self._array = array
        self.is_finite = True
        try:
            self.root = self._node(payload)
        except _Unsendable as problem:
            raise problem.as_error() from None

    def _node(self, node: Any) -> Any:
        kind = type(node)
        if kind in _SIMPLE:
            return self._number(node) if kind is float or kind is int else node
        if kind is list or kind is tuple:
            return self._list(node)
        if isinstance(node, Mapping):
            return self._mapping(node)
        if isinstance(node, Enum):
            return self._node(node.value)
        if isinstance(node, str):
            return str.__str__(node)
        if isinstance(node, bytes | bytearray | memoryview):
            return _text(node)
        if hasattr(node, "__array__"):
            return self._encoded(node)
        if fields.is_model(node):
            return self._node(fields.as_fields(node))
        if dataclasses.is_dataclass(node) and not isinstance(node, type):
            return self._mapping({field.name: getattr(node, field.name) for field in dataclasses.fields(node)})
        if isinstance(node, Sequence | Set | Iterator | ValuesView) and not hasattr(node, "read"):  # but no file
            return self._list(list(node))
        if isinstance(node, float | int):
            return self._number(float(node) if isinstance(node, float) else int(node))
        if isinstance(node, complex):  # an array of rank 0 fits wherever a complex number does
            return self._encoded(np.complex128(node))
        return _other(node)

    def _number(self, node: float | int) -> float | int:
        if type(node) is float:
            if not math.isfinite(node):
                self.is_finite = False
        elif node not in _INT64 and int(node).bit_length() > _MAX_BITS:
            raise _Unsendable(TypeError, "an integer of more than 4300 digits cannot be sent to a Tesseract")
        return node

    def _list(self, node: Sequence[Any]) -> list[Any]:
        kinds = set(map(type, node))
        if kinds == {float}:
            # At once, as lists of numbers may be long. A sum that overflows only costs time.
            self.is_finite = self.is_finite and math.isfinite(sum(node))
            return list(node)
        made: list[Any] = []
        try:
            for item in node:
                made.append(self._node(item))
        except _Unsendable as problem:
            problem.path.append(f"[{len(made)}]")
            raise
        return made

    def _mapping(self, node: Mapping[Any, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        key: Any = None
        try:
            for key, value in node.items():
                name = key if type(key) is str else self._key(key)
                if name in made:
                    raise _Unsendable(TypeError, f"two keys of a mapping are both {name!r} in JSON")
                made[name] = self._node(value)
        except _Unsendable as problem:
            problem.path.append(key if isinstance(key, str) else f"{{{key}}}")
            raise
        return made

    def _key(self, key: Any) -> str:
        if isinstance(key, Enum):
            return self._key(key.value)
        if isinstance(key, np.generic):
            return self._key(key.item())
        if isinstance(key, bool):
            return str(int(key))  # a key for a boolean, and for an integer, as in process
        if isinstance(key, str | int | float):
            return str.__str__(key) if isinstance(key, str) else repr(key)
        made = None if key is None or isinstance(key, tuple) else self._node(key)
        if isinstance(made, str):
            return made
        raise _Unsendable(TypeError, f"a key of type {type(key).__name__} cannot be sent to a Tesseract: {key!r}")

    def _encoded(self, node: Any) -> dict[str, Any]:
        try:
            array = to_numpy(node)
        except ValueError as error:
            raise _Unsendable(ValueError, str(error)) from None
        return {"shape": array.shape, "dtype": array.dtype.name, "data": self._array(array)}


def _text(node: bytes | bytearray | memoryview) -> str:
    try:
        return bytes(node).decode()
    except UnicodeDecodeError:
        raise _Unsendable(
            TypeError, "bytes that are not UTF-8 text cannot be sent to a Tesseract; send an array of uint8 instead"
        ) from None


def _other(leaf: Any) -> Any:
    """Leaves that pydantic reads back from text: dates, durations, paths, decimals, UUIDs, addresses."""
    if isinstance(leaf, os.PathLike):
        return os.fspath(leaf)
    if isinstance(leaf, date | time):
        return leaf.isoformat()
    if isinstance(leaf, Decimal):
        return int(leaf) if leaf.as_tuple().exponent == 0 else str(leaf)
    if hasattr(leaf, "get_secret_value"):  # its text shows asterisks
        return leaf.get_secret_value()
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return to_jsonable_python(leaf)
    except (PydanticSerializationError, ValueError):
        raise _Unsendable(
            TypeError, f"a value of type {type(leaf).__name__} cannot be sent to a Tesseract: {leaf!r}"
        ) from None
