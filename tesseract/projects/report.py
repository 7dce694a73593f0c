"""Faults of a configuration in the words of a person: key, what is wrong, what was given."""

from __future__ import annotations

import difflib

import yaml
from pydantic import BaseModel
from pydantic import ValidationError as SchemaError

from tesseract.projects.config import BuildConfig, CondaRequirements, HostCredential, PipRequirements, TesseractConfig

_BRANCHES = ("PipRequirements", "CondaRequirements")
# The key above an unknown one → what its mapping may hold.
_LEVELS: dict[str | None, type[BaseModel]] = {
    None: TesseractConfig,
    "build_config": BuildConfig,
    "host_credentials": HostCredential,
    "PipRequirements": PipRequirements,
    "CondaRequirements": CondaRequirements,
}
# pydantic's words for what YAML calls otherwise.
_WORDS = {
    "tuple_type": "Input should be a valid list",
    "model_type": "Input should be a valid mapping",
    "dict_type": "Input should be a valid mapping",
}

Location = tuple[int | str, ...]


def one_line(error: SchemaError) -> str:
    """All violations, separated by semicolons."""
    return "; ".join(lines(error))


def lines(error: SchemaError) -> list[str]:
    """One line per violation: `build_config.base_image: Input should be a valid string (got 3)`."""
    result = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"] if part not in _BRANCHES)
        message = _WORDS.get(item["type"]) or item["msg"].removeprefix("Value error, ")
        given = repr(item["input"])
        shown = f" (got {given})" if item["type"] not in ("missing", "value_error") and len(given) <= 80 else ""
        hint = _hint(item["type"], item["loc"], item["input"])
        result.append(f"{key}: {message}{shown}{hint}" if key else f"{message}{shown}{hint}")
    return result


def yaml_fault(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """What the parser says, in one line, with the place."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    said = ": ".join(part for part in (error.context, error.problem) if part)
    return f"line {mark.line + 1}, column {mark.column + 1}: {said}"


def _hint(fault: str, location: Location, given: object) -> str:
    if fault == "extra_forbidden":
        return _nearest(location)
    # `version: 1.0` is a number to YAML, `on` a truth value, and `2024-01-01` a date.
    return ". Put it in quotes." if fault == "string_type" and not isinstance(given, list | dict | None) else ""


def _nearest(location: Location) -> str:
    """The known key that an unknown one may stand for, else all of them."""
    above = next((part for part in reversed(location[:-1]) if isinstance(part, str)), None)
    level = _LEVELS.get(above)
    if level is None:
        return ""
    close = difflib.get_close_matches(str(location[-1]), level.model_fields, n=1, cutoff=0.6)
    return f". Did you mean '{close[0]}'?" if close else f". Known keys: {', '.join(sorted(level.model_fields))}."
