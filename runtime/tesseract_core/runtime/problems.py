"""What a payload's error says, where pydantic's own words leave a user guessing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WRAP = 'put the inputs under the key "inputs": {"inputs": {…}}'


def explain(problem: Mapping[str, Any]) -> str:
    """Message of one of the errors of `ValidationError.errors()` for a whole payload."""
    message: str = problem["msg"]
    return f"{message}: {WRAP}" if forgot_inputs(problem) else message


def forgot_inputs(problem: Mapping[str, Any]) -> bool:
    """Whether a payload has something, but nothing under `inputs`."""
    given = problem.get("input")
    missing = problem["type"] == "missing" and tuple(problem["loc"]) == ("inputs",)
    return missing and isinstance(given, dict) and len(given) > 0
