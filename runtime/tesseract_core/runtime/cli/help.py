"""Help of endpoint commands: what the endpoint does, what its payload must hold, and what comes back."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from tesseract_core.runtime.core import get_input_schema, get_output_schema
from tesseract_core.runtime.schema_types import PydanticArrayAnnotation, is_differentiable

_LONGEST = 200  # characters of a default


def endpoint_help(function: Callable[..., Any], command: str) -> str:
    """The help text of an endpoint's command; `function` as made by `create_endpoints`."""
    return "\n\n".join(
        [
            f"Usage: tesseract-runtime {command} PAYLOAD",
            inspect.getdoc(function) or "",
            "PAYLOAD is JSON text, or @ and the path or URL of a file that holds it (@- for stdin).",
            "\n".join(["Input schema:", *_tree(get_input_schema(function), 1)]),
            "\n".join(["Returns:", *_tree(get_output_schema(function), 1)]),
        ]
    )


def _tree(annotation: Any, depth: int) -> Iterator[str]:
    for model in _models(annotation):
        for name, info in model.model_fields.items():
            # The one field of a root model has no name in the payload.
            nested = depth
            if not issubclass(model, RootModel):
                described = f": {' '.join(info.description.split())}" if info.description else ""
                yield f"{'    ' * depth}{name} ({type_text(info.annotation)}){described}{_default(info)}"
                nested += 1
            yield from _tree(info.annotation, nested)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, alone or within lists, unions and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models(argument)


def type_text(annotation: Any) -> str:
    """A type as users write it: `Differentiable[Array[(3,), Float64]]`, `list[Part] | None`, `'fast' | 'exact'`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is type(None):
        return "None"
    if annotation is ...:
        return "..."
    if isinstance(annotation, type) and issubclass(annotation, PydanticArrayAnnotation):
        return _array_text(annotation)
    if isinstance(annotation, TypeAliasType):
        return type_text(annotation.__value__)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin in (Union, UnionType):
        return " | ".join(dict.fromkeys(map(type_text, arguments)))
    name = getattr(origin or annotation, "__name__", None) or str(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        name = re.sub(r"^(Apply|Jacobian|Jvp|Vjp|AbstractEval)_", "", name)  # what generated classes are called
    return f"{name}[{', '.join(map(type_text, arguments))}]" if arguments and origin is not None else name


def _array_text(array: type[PydanticArrayAnnotation]) -> str:
    dtype = array.expected_dtype
    scalar = None if dtype is None else re.sub(r"^(u?)(.)", lambda m: m[1].upper() + m[2].upper(), dtype)
    shape = "..." if array.expected_shape is ... else str(array.expected_shape)
    text = scalar if scalar and shape == "()" else f"Array[{shape}, {scalar}]"
    return f"Differentiable[{text}]" if is_differentiable(array) else text


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return ""
    if info.default_factory is None:
        text = " ".join(repr(info.default).split())  # an array's has many lines
        return f" [default: {text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}]"
    if info.default_factory in (list, dict, set, tuple, frozenset):
        return f" [default: {info.default_factory()!r}]"
    if isinstance(info.default_factory, type) and issubclass(info.default_factory, BaseModel):
        return " [default: as below]"
    return " [default: made anew for each call]"  # a time, or a random number: none is worth printing
