"""Schema violations in the words of a person: key, what is wrong, what was given."""

from __future__ import annotations

from pydantic import ValidationError as SchemaError

_KNOWN_BRANCHES = ("PipRequirements", "CondaRequirements")


def _key(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in _KNOWN_BRANCHES)


def one_line(error: SchemaError) -> str:
    """All violations, separated by semicolons."""
    return "; ".join(lines(error))


def lines(error: SchemaError) -> list[str]:
    """One line per violation: `build_config.base_image: Input should be a valid string (got 3)`."""
    result = []
    for item in error.errors(include_url=False):
        key = _key(item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        given = repr(item["input"])
        shown = f" (got {given})" if item["type"] not in ("missing", "value_error") and len(given) <= 80 else ""
        result.append(f"{key}: {message}{shown}" if key else f"{message}{shown}")
    return result
