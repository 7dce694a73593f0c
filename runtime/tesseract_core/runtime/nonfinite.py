"""Infinities and NaN among the plain numbers of a result.

JSON has no words for them, so they become null, and that is said.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

# A text is matched as a whole, so that no word in it is taken for a number.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?Infinity|NaN')
_SHOWN = 10


def with_null(text: bytes) -> bytes:
    """JSON text in which `Infinity`, `-Infinity` and `NaN` are null; a line on stderr names the fields."""
    if b"Infinity" not in text and b"NaN" not in text:
        return text
    changed = _TOKEN.sub(lambda match: match[0] if match[0][:1] == b'"' else b"null", text)
    if changed != text:
        print(_said(text), file=sys.stderr, flush=True)
    return changed


def _said(text: bytes) -> str:
    from pydantic_core import from_json

    fields = list(_fields(from_json(text), ""))
    names = ", ".join(fields[:_SHOWN]) + (f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else "")
    return (
        f"infinite or NaN, and null in the JSON result: {names}. To get the values, send the header "
        "'Accept: application/json; nonfinite=literal', or call tesseract-runtime --nonfinite literal"
    )


def _fields(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, float):
        if node - node != 0:
            yield path or "the result"
    elif isinstance(node, dict):
        for key, value in node.items():
            step = key if key.isidentifier() else f"{{{key}}}"
            yield from _fields(value, f"{path}.{step}" if path else step)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _fields(value, f"{path}.[{index}]" if path else f"[{index}]")
