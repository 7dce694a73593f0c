"""Answers that are errors, as callers see them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from tesseract_core.client.errors import error_from_response

pytestmark = pytest.mark.fast


def rebuilt(*items: dict[str, Any]) -> ValidationError:
    error = error_from_response("apply", 422, json.dumps({"detail": items}).encode())
    assert isinstance(error, ValidationError)
    return error


def test_validation_errors_are_rebuilt_item_by_item() -> None:
    items = [
        {
            "type": "array_shape_mismatch",
            "loc": ["body", "inputs", "a"],
            "msg": "Array shape (2,) is incompatible with expected shape (3,)",
            "input": [1, 2],
            "ctx": {"actual_shape": [2], "expected_shape": [3]},
        },
        {"type": "missing", "loc": ["body", "inputs", "parts", 0], "msg": "Field required", "input": {}},
    ]
    error = rebuilt(*items)
    assert error.title == "endpoint apply"
    assert error.errors() == [{**item, "loc": tuple(item["loc"])} for item in items]


@pytest.mark.parametrize("ctx", [None, {}, {"x": 1}, {"x": "{y}", "y": 2}, {"message": "other"}])
def test_messages_are_no_templates(ctx: dict[str, Any] | None) -> None:
    message = "expected {x}, {y}, {} or {message} in {'a': 1}"
    item = {"type": "value_error", "loc": ["body"], "msg": message, "input": 1, "ctx": ctx}
    assert rebuilt(item).errors()[0]["msg"] == message
    assert message in str(rebuilt(item))


@pytest.mark.parametrize(
    "body", [b"nope", b"{}", b'{"detail": "text"}', b'{"detail": []}', b'{"detail": [{"msg": "x"}]}', b"[1]"]
)
def test_a_422_of_another_kind_is_a_runtime_error(body: bytes) -> None:
    error = error_from_response("apply", 422, body)
    assert isinstance(error, RuntimeError)
    assert str(error) == f"Error 422 from Tesseract: {body.decode()}"


def test_server_errors_carry_the_body() -> None:
    assert str(error_from_response("apply", 500, b"Traceback ...\nRuntimeError: kaboom")) == (
        "Error 500 from Tesseract: Traceback ...\nRuntimeError: kaboom"
    )
