"""Where the leaves of a schema are: path patterns, differentiable arrays, order of fields."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Union

from pydantic import BaseModel

from tesseract_core.runtime.schema_generation.rewrite import is_array_type, is_model, members
from tesseract_core.runtime.schema_types import PydanticArrayAnnotation, is_differentiable

_ANY_INDEX = r"\[\d+\]"
_ANY_KEY = r"\{(?:[^{}\\]|\\.)+\}"


@dataclass(frozen=True)
class ArrayLeaf:
    """An array position of a schema.

    Attributes:
        pattern: Path with `[]` for any index and `{}` for any key.
        regex: Regular expression (of a whole path) as it is published.
        exact: The same with the positions of tuple items.
        array_type: Declared type.
    """

    pattern: str
    regex: str
    exact: str
    array_type: type[PydanticArrayAnnotation]

    def matches(self, path: str) -> bool:
        """Whether a concrete path leads to this leaf."""
        return re.fullmatch(self.exact, path, re.ASCII | re.DOTALL) is not None

    @property
    def is_fixed(self) -> bool:
        """Whether there is only one such path."""
        return "[" not in self.pattern and "{" not in self.pattern


@dataclass
class Leaves:
    """What `collect` found: array leaves, and the field names of each model by its path pattern."""

    arrays: list[ArrayLeaf] = field(default_factory=list)
    field_order: dict[str, list[str]] = field(default_factory=dict)

    @property
    def differentiable(self) -> list[ArrayLeaf]:
        """The array leaves that are marked as differentiable."""
        return [leaf for leaf in self.arrays if is_differentiable(leaf.array_type)]

    def differentiable_arrays(self) -> dict[str, dict[str, Any]]:
        """Declared shape (null: any rank; null entries: any size) and dtype of each differentiable leaf, by pattern."""
        found: dict[str, dict[str, Any]] = {}
        for leaf in self.differentiable:
            shape = leaf.array_type.expected_shape
            entry = {"dtype": leaf.array_type.expected_dtype, "shape": None if shape is ... else list(shape)}
            found.setdefault(leaf.pattern, entry)
        return found


@dataclass(frozen=True)
class _Place:
    pattern: str = ""
    regex: str = ""
    exact: str = ""

    def __truediv__(self, segment: tuple[str, str, str]) -> _Place:
        def join(place: str, dot: str, part: str) -> str:
            return f"{place}{dot}{part}" if place else part

        pattern, regex, exact = segment
        return _Place(join(self.pattern, ".", pattern), join(self.regex, r"\.", regex), join(self.exact, r"\.", exact))


def collect(model: type[BaseModel]) -> Leaves:
    """Walk through a model class."""
    leaves = Leaves()
    _walk(model, _Place(), leaves)
    return leaves


def _walk(annotation: Any, place: _Place, leaves: Leaves) -> bool:
    """Collect what is below a position; returns whether there is any leaf (arrays and all other values)."""
    if is_array_type(annotation):
        leaves.arrays.append(ArrayLeaf(place.pattern, place.regex, place.exact, annotation))
        return True
    if is_model(annotation):
        return _walk_model(annotation, place, leaves)
    origin, args = members(annotation)
    if origin is None:
        return True
    if origin is Annotated:
        return _walk(args[0], place, leaves)
    if origin in (Union, types.UnionType):
        reached = [_walk(arg, place, leaves) for arg in args]
        return any(reached)
    if not isinstance(origin, type):
        return True
    if origin is tuple and args[-1] is not ...:
        places = [place / ("[]", _ANY_INDEX, rf"\[{index}\]") for index in range(len(args))]
        reached = [_walk(arg, item_place, leaves) for arg, item_place in zip(args, places, strict=True)]
        return any(reached)
    if issubclass(origin, Mapping):
        return _walk(args[-1], place / ("{}", _ANY_KEY, _ANY_KEY), leaves)
    if issubclass(origin, Iterable):
        return _walk(args[0], place / ("[]", _ANY_INDEX, _ANY_INDEX), leaves)
    return True


def _walk_model(model: type[BaseModel], place: _Place, leaves: Leaves) -> bool:
    known = leaves.field_order.setdefault(place.pattern, [])
    known.extend(name for name in model.model_fields if name not in known)
    reached = [
        _walk(info.annotation, place / (name, re.escape(name), re.escape(name)), leaves)
        for name, info in model.model_fields.items()
    ]
    if not known or not any(reached):
        leaves.field_order.pop(place.pattern, None)
    return any(reached)
