"""Subclasses of a user's models for one endpoint: unknown fields forbidden, array types replaced where need be.

Validators, defaults, descriptions and methods are inherited; an instance is still an instance of the user's class.
"""

from __future__ import annotations

import collections.abc
import copy
import dataclasses
import types
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    JsonValue,
    PlainValidator,
    PydanticUndefinedAnnotation,
    RootModel,
    SkipValidation,
    WrapValidator,
    create_model,
)
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from tesseract_core.runtime.schema_generation import exact
from tesseract_core.runtime.schema_types import PydanticArrayAnnotation, ShapeDType
from tesseract_core.runtime.tree_transforms import is_arraylike

_UNIONS = (Union, types.UnionType)
# What these are parametrised with does not describe values.
_NO_CONTAINERS = (Literal, type, collections.abc.Callable)


def is_array_type(annotation: Any) -> bool:
    """Whether an annotation is `Array[…]` or `Differentiable[…]`."""
    return isinstance(annotation, type) and issubclass(annotation, PydanticArrayAnnotation)


def is_model(annotation: Any) -> bool:
    """Whether an annotation is a model class."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def members(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Origin and members of a container, union or `Annotated`; `(None, ())` for what has none."""
    if isinstance(annotation, TypeAliasType):
        return Annotated, (annotation.__value__,)
    origin = get_origin(annotation)
    if origin is None or origin in _NO_CONTAINERS or not get_args(annotation):
        return None, ()
    return origin, get_args(annotation)


class Rewriter:
    """Makes the subclasses for one endpoint. A class that occurs several times is rewritten once.

    Args:
        prefix: Put before the names of the classes.
        array: Returns the annotation that replaces an array type.
        default: Returns the value that replaces a field's default, given that and the field's annotation.
    """

    def __init__(
        self,
        prefix: str,
        array: Callable[[type[PydanticArrayAnnotation]], Any] = lambda array_type: array_type,
        default: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self._prefix = prefix
        self._array = array
        self._default = default
        self._done: dict[type[BaseModel], type[BaseModel]] = {}
        self._inside: list[type[BaseModel]] = []

    def model(self, cls: type[BaseModel]) -> type[BaseModel]:
        """Return the subclass of a model class.

        Raises:
            ValueError: The class occurs within itself.
        """
        if cls in self._inside:
            raise ValueError(
                f"{cls.__name__} is recursive: a model may not occur within itself in a Tesseract's schemas"
            )
        if cls not in self._done:
            self._inside.append(cls)
            try:
                self._done[cls] = self._subclass(cls)
            finally:
                self._inside.pop()
        return self._done[cls]

    def annotation(self, annotation: Any) -> Any:
        """Return an annotation with all models and array types in it replaced."""
        if is_array_type(annotation):
            return self._array(annotation)
        if annotation is complex or annotation is Any:
            return exact.COMPLEX if annotation is complex else exact.ANYTHING
        if annotation is JsonValue:  # there is neither a model nor an array in it
            return annotation
        if is_model(annotation) and not issubclass(annotation, ShapeDType):
            return self.model(annotation)
        origin, args = members(annotation)
        if origin is None:
            return annotation
        if origin is Annotated:
            annotation, metadata = self.annotation(args[0]), self._metadata(args[0], args[1:])
            return Annotated[(annotation, *metadata)] if metadata else annotation
        replaced = tuple(map(self.annotation, args))
        if all(new is old for new, old in zip(replaced, args, strict=True)):
            return annotation
        return Union[replaced] if origin in _UNIONS else origin[replaced]  # noqa: UP007 (of a tuple)

    def _subclass(self, cls: type[BaseModel]) -> type[BaseModel]:
        try:
            cls.model_rebuild()
        except PydanticUndefinedAnnotation as error:
            raise ValueError(f"{cls.__name__} names the type {error.name!r}, which is not defined") from None
        fields: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            changed = self._field(field)
            if changed is not field:
                fields[name] = (changed.annotation, changed)
        settings = {} if "extra" in cls.model_config or issubclass(cls, RootModel) else {"extra": "forbid"}
        if cls.model_config.get("ser_json_inf_nan") != "strings":
            # Whether they stay, or become null, is decided where the text is written.
            settings["ser_json_inf_nan"] = "constants"
        return create_model(
            self._prefix + cls.__name__,
            __base__=cls,
            __cls_kwargs__=settings,
            __doc__=cls.__doc__,
            __module__=cls.__module__,
            **fields,
        )

    def _metadata(self, annotation: Any, metadata: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what stands beside an annotation in `Annotated`."""
        return metadata

    def _field(self, field: FieldInfo) -> FieldInfo:
        annotation = self.annotation(field.annotation)
        metadata = self._metadata(field.annotation, tuple(field.metadata))
        if annotation is field.annotation and metadata == tuple(field.metadata):
            return field
        changed = copy.copy(field)
        old, changed.annotation = field.annotation, annotation
        changed.metadata = list(metadata)
        if self._default is not None and not field.is_required():
            replace = self._default
            if field.default_factory is None:
                changed.default = replace(field.default, old)
            elif not field.default_factory_takes_validated_data:
                factory: Callable[[], Any] = field.default_factory  # type: ignore[assignment]
                changed.default_factory = lambda: replace(factory(), old)
        return changed


# Not their subclasses: those of our own path types may run as often as they like.
_VALIDATORS = (AfterValidator, BeforeValidator, PlainValidator, WrapValidator)


class _Stripper(Rewriter):
    def _subclass(self, cls: type[BaseModel]) -> type[BaseModel]:
        subclass = super()._subclass(cls)
        subclass.__pydantic_decorators__ = dataclasses.replace(
            cls.__pydantic_decorators__, validators={}, field_validators={}, root_validators={}, model_validators={}
        )
        subclass.model_rebuild(force=True)
        return subclass

    def _metadata(self, annotation: Any, metadata: tuple[Any, ...]) -> tuple[Any, ...]:
        if not any(type(item) in _VALIDATORS for item in metadata):
            return metadata
        if _holds_structure(annotation):
            return tuple(item for item in metadata if type(item) not in _VALIDATORS)
        # What a validator makes of a plain value may be of another type, or out of the bounds that it was checked for.
        return (*metadata, SkipValidation())  # type: ignore[type-arg]


def _holds_structure(annotation: Any) -> bool:
    """Whether there are models or arrays in an annotation."""
    return is_model(annotation) or is_array_type(annotation) or any(map(_holds_structure, members(annotation)[1]))


def without_validators(cls: type[BaseModel]) -> type[BaseModel]:
    """Return a subclass that checks types, but runs no validators of the user's on the way.

    For instances of the user's class: their validators have run when they were made.
    """
    return _Stripper("").model(cls)


def abstract_default(value: Any, annotation: Any) -> Any:
    """Return a field's default with each array replaced by its `ShapeDType`."""
    if value is None or isinstance(value, str | ShapeDType):
        return value
    if isinstance(value, BaseModel):
        return value.model_copy(
            update={
                name: abstract_default(getattr(value, name), field.annotation)
                for name, field in type(value).model_fields.items()
            }
        )
    array_type = _array_member(annotation)
    if is_arraylike(value) or (array_type is not None and not isinstance(value, Mapping)):
        array = value if is_arraylike(value) else np.asarray(value, array_type and array_type.expected_dtype)
        return ShapeDType.model_validate({"shape": tuple(array.shape), "dtype": str(array.dtype)})
    if isinstance(value, Mapping):
        items = zip(value.items(), _item_types(value, annotation), strict=False)
        return {key: abstract_default(item, item_type) for (key, item), item_type in items}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(map(abstract_default, value, _item_types(value, annotation)))
    return value


def _array_member(annotation: Any) -> type[PydanticArrayAnnotation] | None:
    """The array type that an annotation is, possibly in a union or `Annotated`."""
    return next(filter(is_array_type, _alternatives(annotation)), None)


def _alternatives(annotation: Any) -> Iterator[Any]:
    """What an annotation allows: the members of a union, without `Annotated`."""
    origin, args = members(annotation)
    if origin in (*_UNIONS, Annotated):
        for arg in args[:1] if origin is Annotated else args:
            yield from _alternatives(arg)
    else:
        yield annotation


def _item_types(value: Any, annotation: Any) -> Iterator[Any]:
    """The annotations of the items of a container (of the values of a mapping), without end."""
    for origin, args in map(members, _alternatives(annotation)):
        if isinstance(origin, type) and issubclass(origin, Mapping) == isinstance(value, Mapping):
            positional = origin is tuple and args[-1] is not ...
            return chain(args, repeat(Any)) if positional else repeat(args[-1 if issubclass(origin, Mapping) else 0])
    return repeat(Any)
