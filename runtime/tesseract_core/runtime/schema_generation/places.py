"""One rule for numbers: what NumPy scalars and encoded arrays become at the places of a payload that are no arrays.

A client sends `np.int64(3)` as an encoded array of rank 0, and another Tesseract may have written one. At a place for
an array it is one, at a place for anything (`Any`) it is a NumPy scalar or array, and everywhere else it is the plain
number that JSON would have given. This happens before validation, so validators of the user see no difference either.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, Union, get_origin, get_type_hints

import numpy as np
from pydantic import BaseModel, JsonValue, RootModel
from typing_extensions import TypeAliasType, is_typeddict

from tesseract_core import framing
from tesseract_core.fields import as_fields, keys
from tesseract_core.runtime.array_encoding import decode_array, is_whole, leaf_types
from tesseract_core.runtime.schema_generation.rewrite import is_array_type, is_model, members
from tesseract_core.runtime.schema_types import ShapeDType

_PLAIN_TYPES = frozenset({bool, int, float, str, type(None)})
_SETS = (set, frozenset)


class Place:
    """What the annotations that are allowed at a place (several, if there is a union) make of a value there."""

    def __init__(self, *annotations: Any) -> None:
        self._arrays = self._shapes = self._anything = self._plain = self._json = False
        self._models: list[type[BaseModel]] = []
        self._fields: dict[str, list[Any]] = {}
        self._values: list[Any] = []
        self._items: list[Any] = []
        self._positions: list[list[Any]] = []
        self._children: dict[Any, Place] = {}
        for annotation in annotations:
            self._add(annotation)

    def __call__(self, value: Any, context: Mapping[str, Any] | None = None) -> Any:
        """The value, or a copy in which numbers are what they should be; nothing is changed in place."""
        kind = type(value)
        if kind in _PLAIN_TYPES:
            return value
        if isinstance(value, np.generic | np.ndarray):
            return self._number(value)
        if isinstance(value, dict):
            return self._mapping(value, context)
        if isinstance(value, BaseModel) and self._models and not self._anything:
            # The models of a payload are generated: an instance of the user's own is none of theirs.
            return value if isinstance(value, tuple(self._models)) else self(as_fields(value), context)
        if kind in (list, tuple):
            return self._sequence(value, kind, context)
        if kind in _SETS and not set(map(type, value)) <= _PLAIN_TYPES:
            items = self._child("items", self._items)
            return kind(items(item, context) for item in value)
        return value

    def idle(self, seen: tuple[Place, ...] = ()) -> bool:
        """Whether no value will ever be changed here."""
        if self._plain or self._anything or len(seen) > 20:  # an alias that names itself has no end
            return False
        return all(child.idle((*seen, self)) for child in self._all_children())

    # What happens to a value

    def _number(self, value: Any) -> Any:
        if self._json or isinstance(value, np.character):
            return value.tolist()
        if value.ndim:
            # No number. NumPy 1 would make one of an array with a single element, and pydantic would take it.
            return value.tolist() if self._is_number() else value
        # Where both are allowed, a float would be made of a complex scalar's real part.
        holds_scalars = (self._arrays or self._anything) and not (self._plain and value.dtype.kind == "c")
        if holds_scalars:
            return value[()]
        return _python_number(value) if self._plain else value

    def _mapping(self, value: dict[Any, Any], context: Mapping[str, Any] | None) -> Any:
        if self._shapes and "shape" in value and "dtype" in value:
            return value
        holds_mappings = self._fields or self._values
        if (self._plain or self._anything or not self._arrays) and is_whole(value):
            # Only an array refers to a buffer beside the text; anything else could be a mapping with such keys.
            sure = value["data"]["encoding"] == framing.ENCODING
            if sure or self._json or not holds_mappings:
                return self._decoded(value, context)
        if self._anything and not holds_mappings:
            return _changed_items(value, lambda _: _ANYTHING, context)
        return _changed_items(value, self._member, context) if holds_mappings else value

    def _decoded(self, value: dict[Any, Any], context: Mapping[str, Any] | None) -> Any:
        if value["shape"] and self._is_number():
            return value
        try:
            array = decode_array(value, context)
        except ValueError:
            return value  # validation says what is wrong with it
        return self._number(array)

    def _is_number(self) -> bool:
        """Whether neither an array nor a container can be here."""
        others = (self._arrays, self._anything, self._json, self._fields, self._values, self._items, self._positions)
        return self._plain and not any(others)

    def _member(self, key: Any) -> Place:
        if key in self._fields:
            return self._child(("field", key), self._fields[key] + self._values + self._any())
        return self._child("values", self._values + self._any())

    def _sequence(self, value: Any, kind: type, context: Mapping[str, Any] | None) -> Any:
        if leaf_types(value) <= _PLAIN_TYPES:
            return value
        made: list[Any] = []
        for index, item in enumerate(value):
            at = index if index < len(self._positions) else "items"
            own = self._positions[index] if index < len(self._positions) else []
            made.append(self._child(at, own + self._items + self._any())(item, context))
        return kind(made)

    def _any(self) -> list[Any]:
        return [Any] if self._anything else []

    def _child(self, key: Any, annotations: list[Any]) -> Place:
        if not annotations:
            return _NOWHERE
        if key not in self._children:
            self._children[key] = Place(*annotations)
        return self._children[key]

    def _all_children(self) -> Iterator[Place]:
        yield from (self._member(name) for name in self._fields)
        yield self._child("values", self._values)
        yield self._child("items", self._items)
        yield from (self._child(index, own + self._items) for index, own in enumerate(self._positions))

    # What an annotation allows

    def _add(self, annotation: Any) -> None:
        origin, args = members(annotation)
        if is_array_type(annotation):
            self._arrays = True
        elif is_model(annotation) and issubclass(annotation, ShapeDType):
            self._shapes = True
        elif annotation is JsonValue:
            self._plain = self._json = True
            self._values.append(JsonValue)
            self._items.append(JsonValue)
        elif origin is Annotated:
            self._add(args[0])
        elif origin in (Union, types.UnionType):
            for arg in args:
                self._add(arg)
        elif isinstance(origin, type):
            self._add_container(origin, args)
        elif is_model(annotation):
            self._add_model(annotation)
        elif annotation is not None and annotation is not type(None):
            self._add_leaf(annotation)

    def _add_container(self, origin: type, args: tuple[Any, ...]) -> None:
        if origin is tuple and args[-1] is not ...:
            for index, arg in enumerate(args):
                self._position(index).append(arg)
        elif issubclass(origin, Mapping):
            self._values.append(args[-1])
        elif issubclass(origin, Iterable):
            self._items.append(args[0])
        else:
            self._add_leaf(origin)

    def _add_model(self, model: type[BaseModel]) -> None:
        self._models.append(model)
        if issubclass(model, RootModel):
            return self._add(model.model_fields["root"].annotation)
        for name, field in model.model_fields.items():
            for key in keys(name, field):
                self._fields.setdefault(key, []).append(field.annotation)
        if model.model_config.get("extra") == "allow":
            self._values.append(Any)
        return None

    def _add_leaf(self, annotation: Any) -> None:
        if hinted := _hints(annotation):
            for index, (name, hint) in enumerate(hinted.items()):
                self._fields.setdefault(name, []).append(hint)
                if issubclass(annotation, tuple):
                    self._position(index).append(hint)
        elif _is_anything(annotation):
            self._anything = True
        elif isinstance(annotation, type) and issubclass(annotation, Mapping):
            self._values.append(Any)
        elif isinstance(annotation, type) and issubclass(annotation, list | tuple | set | frozenset):
            self._items.append(Any)
        else:
            self._plain = True

    def _position(self, index: int) -> list[Any]:
        while len(self._positions) <= index:
            self._positions.append([])
        return self._positions[index]


def _python_number(value: Any) -> Any:
    number = value.item()
    if isinstance(number, np.generic) and number.dtype.kind in "fc":  # longdouble
        return complex(number) if number.dtype.kind == "c" else float(number)
    return number


def _changed_items(
    value: dict[Any, Any], place: Callable[[Any], Place], context: Mapping[str, Any] | None
) -> dict[Any, Any]:
    changed, has_scalars = {}, False
    for key, item in value.items():
        has_scalars = has_scalars or isinstance(key, np.generic)
        if type(item) not in _PLAIN_TYPES and (new := place(key)(item, context)) is not item:
            changed[key] = new
    if has_scalars:  # JSON has no other keys than text, and pydantic writes those of Python only
        return {
            key.item() if isinstance(key, np.generic) else key: changed.get(key, item) for key, item in value.items()
        }
    return {**value, **changed} if changed else value


def _hints(annotation: Any) -> dict[str, Any]:
    """Fields of a data class, a `TypedDict` or a named tuple."""
    if not isinstance(annotation, type) or not (
        dataclasses.is_dataclass(annotation) or is_typeddict(annotation) or hasattr(annotation, "_fields")
    ):
        return {}
    try:
        return get_type_hints(annotation)
    except (NameError, TypeError):
        return {}


def _is_anything(annotation: Any) -> bool:
    if annotation in (Any, object) or isinstance(annotation, TypeVar | TypeAliasType):
        return True
    if isinstance(get_origin(annotation), TypeAliasType):
        return True
    return isinstance(annotation, type) and hasattr(annotation, "__array__")


_NOWHERE = Place()
_ANYTHING = Place(Any)
