"""Places of a result whose numbers pydantic would turn into text, or into other numbers, when it writes JSON.

A reader that knows our objects for complex numbers (see `framing`) gets those, and NumPy scalars as encoded arrays;
everybody else gets what pydantic writes.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, PlainSerializer, SerializationInfo
from pydantic_core import to_jsonable_python

from tesseract_core import framing
from tesseract_core.runtime.array_encoding import encode_array


def _complex_to_json(value: Any, info: SerializationInfo) -> Any:
    if not isinstance(value, complex):  # a default that was never validated
        return value
    return framing.complex_object(value) if _is_exact(info) else to_jsonable_python(complex(value))


def _anything_to_json(value: Any, info: SerializationInfo) -> Any:
    return _exact(value, info.context) if _is_exact(info) else value


def _is_exact(info: SerializationInfo) -> bool:
    return isinstance(info.context, dict) and bool(info.context.get(framing.COMPLEX))


def _exact(node: Any, context: Any) -> Any:
    if isinstance(node, np.generic) and node.dtype.kind in "biufc":
        return encode_array(node, context)
    if isinstance(node, complex):
        return framing.complex_object(node)
    if isinstance(node, BaseModel):  # of the user's: its own settings would make null of an infinity
        return _exact(node.model_dump(by_alias=True), context)
    if type(node) is dict:
        return {key: _exact(value, context) for key, value in node.items()}
    if type(node) in (list, tuple):
        return [_exact(item, context) for item in node]
    return node


COMPLEX = Annotated[complex, PlainSerializer(_complex_to_json, when_used="json")]
ANYTHING = Annotated[Any, PlainSerializer(_anything_to_json, when_used="json")]
