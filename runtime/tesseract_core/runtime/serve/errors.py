"""The bodies of all answers that are not a result, in the shapes that clients of the contract parse."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from tesseract_core.runtime.problems import explain
from tesseract_core.runtime.serve.messages import Reply

# An invalid input is echoed up to this size; beyond it the answer describes it.
MAX_ECHO_BYTES = 1024
MAX_MESSAGE = 4096
MAX_ERRORS = 100
MANY_ERRORS = 10 * MAX_ERRORS
MAX_ERRORS_TEXT = 1024 * MAX_ERRORS
# The error that clients know for something that is no object. pydantic's option `from_attributes` has these words, but
# would also fill a model from the attributes of an array.
_NO_MODEL = "Input should be a valid dictionary or instance of "
_NO_OBJECT = ("model_attributes_type", "Input should be a valid dictionary or object to extract fields from")


def detail(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply with the body `{"detail": value}`."""
    return Reply(status, _dumps({"detail": value}), headers=dict(headers or {}))


def body_error(kind: str, message: str, value: Any, *, at: Iterable[str | int] = (), **context: Any) -> Reply:
    """Return a 422 with one error at `["body", *at]`."""
    entry = {"type": kind, "loc": ["body", *at], "msg": message, "input": _echo(value)}
    if context:
        entry["ctx"] = context
    return detail(422, [entry])


def invalid_run_id(value: str, message: str) -> Reply:
    """Return the 422 for a `run_id` that is not one safe path component."""
    entry = {
        "type": "value_error",
        "loc": ["query", "run_id"],
        "msg": f"Value error, {message}",
        "input": _echo(value),
        "ctx": {"error": {}},
    }
    return detail(422, [entry])


def validation_error(error: ValidationError) -> Reply:
    """Return the 422 for a body that does not fit the endpoint's schema.

    Of many errors the first ones are shown, and one more entry says how many there are: a client can make thousands of
    them with a byte or two each.
    """
    entries = []
    for item in _first(error):
        if item["type"] == "model_type" and item["msg"].startswith(_NO_MODEL):
            kind, message = _NO_OBJECT
            item = {"type": kind, "loc": item["loc"], "msg": message, "input": item.get("input")}
        entry: dict[str, Any] = {
            "type": item["type"],
            "loc": ["body", *map(_short, item["loc"])],
            "msg": _short(explain(item), MAX_MESSAGE),
            "input": _echo(item.get("input")),
        }
        if "ctx" in item:
            # Exceptions have no JSON form, and their representation may show addresses and paths of the server.
            entry["ctx"] = {
                key: {} if isinstance(value, BaseException) else _echo(value) for key, value in item["ctx"].items()
            }
        entries.append(entry)
    if (more := error.error_count() - len(entries)) > 0:
        message = f"{more} more errors are not shown"
        entries.append(
            {"type": "too_many_errors", "loc": ["body"], "msg": message, "input": None, "ctx": {"more": more}}
        )
    return detail(422, entries)


def _first(error: ValidationError) -> list[Any]:
    """The first errors.

    Of thousands pydantic would make as many objects, so those are read from the start of a text.
    """
    if error.error_count() > MANY_ERRORS:
        with contextlib.suppress(ValueError):  # half a surrogate pair in a key
            text = error.json(include_url=False, include_context=False, include_input=False)
            started = from_json(text[:MAX_ERRORS_TEXT], allow_partial=True)
            if len(started) > 1:  # the last one may not be whole
                return list(started[:-1][:MAX_ERRORS])
    return list(error.errors(include_url=False)[:MAX_ERRORS])


def _short(part: Any, limit: int = MAX_ECHO_BYTES) -> Any:
    if isinstance(part, str) and len(part) > limit:
        return f"{part[:limit]}… ({len(part)} characters)"
    return part


def server_error(text: str = "Internal Server Error", *, html: bool = False) -> Reply:
    """Return a 500 as plain text, or as a preformatted page."""
    if html:
        from html import escape

        page = f"<!DOCTYPE html><title>Internal Server Error</title><pre>{escape(text)}</pre>"
        return Reply(500, page.encode(), "text/html; charset=utf-8")
    return Reply(500, text.encode(errors="backslashreplace"), "text/plain; charset=utf-8")


def _echo(value: Any) -> Any:
    """Return `value` itself if its JSON is small, else one line that describes it.

    A client that sends 2 MB of wrong data does not want them back.
    """
    if _estimated_size(value, MAX_ECHO_BYTES) <= MAX_ECHO_BYTES:
        return value
    if isinstance(value, str | bytes):
        start = value[:100] if isinstance(value, str) else value[:100].decode(errors="replace")
        return f"<{len(value)} characters, starting with {start!r}>"
    if isinstance(value, Mapping):
        keys = ", ".join(str(key)[:40] for key, _ in zip(value, range(10), strict=False))
        return f"<object with {len(value)} keys: {keys}{', …' if len(value) > 10 else ''}>"
    if isinstance(value, list | tuple | set | frozenset):
        return f"<array of {len(value)} items>"
    return f"<{type(value).__name__}>"


def _estimated_size(value: Any, limit: int) -> int:
    """Return about how long the JSON of `value` is; stops counting soon after `limit`."""
    if isinstance(value, str | bytes):
        return len(value) + 2
    if isinstance(value, Mapping):
        items: Iterable[Any] = (part for pair in value.items() for part in pair)
    elif isinstance(value, list | tuple | set | frozenset):
        items = value
    elif hasattr(value, "nbytes"):
        return int(value.nbytes)
    else:
        return 8
    total = 2
    for item in items:
        total += 1 + _estimated_size(item, limit - total)
        if total > limit:
            break
    return total


def _dumps(value: Any) -> bytes:
    """Encode as compact JSON; NaN and infinities become null, and what has no JSON form its type's name."""
    text = json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode(errors="backslashreplace")  # lone surrogates; in this form they are JSON escapes


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return f"<{type(value).__name__}>"
