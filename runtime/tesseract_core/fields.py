"""Instances of pydantic's models as the plain data that the same models accept, on both sides of the wire."""

from __future__ import annotations

from typing import Any


def is_model(value: Any) -> bool:
    """Whether a value is an instance of a model; pydantic is not imported to find out."""
    return hasattr(type(value), "__pydantic_fields__") and hasattr(value, "model_fields_set")


def as_fields(model: Any) -> Any:
    """The fields of a model by the keys under which they are given; of a root model, its root."""
    fields = type(model).__pydantic_fields__
    if getattr(type(model), "__pydantic_root_model__", False):
        return model.root
    return {keys(name, fields[name])[0] if name in fields else name: value for name, value in model}


def keys(name: str, field: Any) -> list[str]:
    """Keys under which a field is given; the first one always works."""
    alias = field.validation_alias or field.alias
    choices = getattr(alias, "choices", [alias])
    return [*(choice for choice in choices if isinstance(choice, str)), name]
