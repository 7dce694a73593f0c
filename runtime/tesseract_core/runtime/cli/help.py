"""Help of endpoint commands: what the endpoint does, what its payload must hold, and what comes back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

from tesseract_core.runtime.core import get_input_schema, get_output_schema


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
                yield f"{'    ' * depth}{name}: {info.description}{_default(info)}"
                nested += 1
            yield from _tree(info.annotation, nested)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, alone or within lists, unions and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models(argument)


def _default(info: FieldInfo) -> str:
    return "" if info.is_required() else f" [default: {info.get_default(call_default_factory=False)!r}]"
