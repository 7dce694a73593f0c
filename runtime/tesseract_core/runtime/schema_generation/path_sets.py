"""Fields that hold paths of differentiable leaves: `jac_inputs`, `vjp_outputs` and the like."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tesseract_core.runtime.schema_generation.leaves import ArrayLeaf
from tesseract_core.runtime.tree_transforms import get_at_path, is_arraylike


def path_set(leaves: Sequence[ArrayLeaf], field: str, *, inputs: bool) -> Any:
    """Annotation of a field named `field`: a set of at least one path to one of `leaves`.

    Args:
        leaves: Allowed positions.
        field: Name of the field.
        inputs: Whether the paths lead into the payload's `inputs`; then there must be an array at each.
    """
    return Annotated[set[Annotated[str, _Path(leaves, field, inputs)]], Field(min_length=1)]


def types_at(path: str, leaves: Sequence[ArrayLeaf]) -> list[Any]:
    """The declared array types at a concrete path; several if there is a union."""
    return [leaf.array_type for leaf in leaves if leaf.matches(path)]


def unknown_path(path: str, leaves: Sequence[ArrayLeaf]) -> PydanticCustomError:
    """The error for a path that leads to none of `leaves`: it lists what is allowed, and what is nearest."""
    patterns = list(dict.fromkeys(leaf.pattern for leaf in leaves))
    expected = ", ".join(repr(pattern) for pattern in patterns)
    generic = re.sub(r"\{(?:[^{}\\]|\\.)*\}", "{}", re.sub(r"\[\d*\]", "[]", path))
    near = difflib.get_close_matches(generic[:200], patterns, n=1, cutoff=0)
    message = f"Input should be one of {expected} (with an index in [] and a key in {{}})"
    if all(leaf.is_fixed for leaf in leaves):
        message = f"Input should be one of {expected}"
    message += f"; the nearest is {near[0]!r}" if near else ""
    return PydanticCustomError("literal_error", message, {"expected": expected})


def path_json_schema(leaves: Sequence[ArrayLeaf]) -> JsonSchemaValue:
    """JSON schema of one path."""
    choices: list[dict[str, Any]] = []
    for leaf in leaves:
        choice = {"type": "string", "const": leaf.pattern} if leaf.is_fixed else _pattern(leaf)
        if choice not in choices:
            choices.append(choice)
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _pattern(leaf: ArrayLeaf) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{leaf.regex}$"}


class _Path:
    """Annotation of one path."""

    def __init__(self, leaves: Sequence[ArrayLeaf], field: str, inputs: bool) -> None:
        self._leaves, self._field, self._inputs = leaves, field, inputs

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return path_json_schema(self._leaves)

    def _check(self, path: str, info: ValidationInfo) -> str:
        if not types_at(path, self._leaves):
            raise unknown_path(path, self._leaves)
        if self._inputs and "inputs" in info.data:
            try:
                value = get_at_path(info.data["inputs"], path)
            except (LookupError, AttributeError, TypeError):
                value = None
            # Of a union, the value may be something else than the array.
            if not is_arraylike(value) and not isinstance(value, bool | int | float | complex | list | tuple):
                raise ValueError(f"Could not find {self._field} path {path} in inputs.")
        return path
