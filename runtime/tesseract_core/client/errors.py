"""Answers that are errors, as the exceptions that callers see."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from tesseract_core.visible import visible, visible_lines


def error_from_response(endpoint: str, status: int, body: bytes) -> Exception:
    """The exception for an answer with status ≥ 400.

    A 422 with the contract's `detail` list becomes the `pydantic.ValidationError` that the server met (title
    `endpoint NAME`); anything else a `RuntimeError` with status and body.
    """
    if status == 422 and (error := _validation_error(endpoint, body)):
        return error
    return RuntimeError(f"Error {status} from Tesseract: {visible_lines(body.decode(errors='replace'))}")


def _validation_error(endpoint: str, body: bytes) -> ValidationError | None:
    try:
        # The standard parser: what the client sent is repeated here, and may be more than the fast one takes.
        details = [_detail(item) for item in json.loads(body)["detail"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return ValidationError.from_exception_data(f"endpoint {endpoint}", details) if details else None


def _detail(item: dict[str, Any]) -> InitErrorDetails:
    template, context = visible_lines(item["msg"]), item.get("ctx")
    # pydantic fills `{key}` in a message from the context, and offers no escape. A message that happens to hold such a
    # text is passed as a value of the context instead, which is filled in last and never looked at again.
    if context and any(f"{{{key}}}" in template for key in context):
        template, context = "{message}", {**context, "message": template}
    return {
        "type": PydanticCustomError(item["type"], template, context),
        "loc": tuple(visible(part) if isinstance(part, str) else part for part in item["loc"]),
        "input": item.get("input"),
    }
