"""What Python callers pass, in the types that plans are made from. A command line cannot be wrong in these ways."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping

from tesseract.errors import InvalidValue


def text(name: str, value: object) -> str | None:
    """A text, or a number that stands for one (`port=8000`). Raises: TypeError."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"{name} must be text, not {value!r}")


def texts(name: str, value: object) -> tuple[str, ...]:
    """A list of texts; a single one is a list of one (`gpus="all"`). Raises: TypeError."""
    if value is None:
        return ()
    if isinstance(value, str | int):
        value = [value]
    if isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of texts, not {value!r}")
    found = [text(f"An item of {name}", item) for item in value]
    if None in found:
        raise TypeError(f"An item of {name} must be text, not None")
    return tuple(item for item in found if item is not None)


def path(name: str, value: object) -> str | os.PathLike[str] | None:
    """A path or a URL. Raises: InvalidValue where it is empty, as an unset variable of a shell is; TypeError."""
    if value is not None and not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path, not {value!r}")
    if value == "":
        raise InvalidValue(f"The {name.replace('_', ' ')} is empty. Give a directory, or leave it out.")
    return value


def words(name: str, value: object) -> tuple[str, ...]:
    """A list of words, or one text that is split as a shell splits it. Raises: InvalidValue, TypeError."""
    if not isinstance(value, str):
        return texts(name, value)
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise InvalidValue(f"Invalid value for {name}: {error}. Check the quotes in {value!r}.") from error


def mapping(name: str, value: object) -> dict[str, object]:
    """A mapping from texts to anything. Raises: TypeError."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping from names to values, not {value!r}")
    return {text(f"A key of {name}", key) or "": item for key, item in value.items()}


def variables(name: str, value: object) -> dict[str, str]:
    """A mapping from texts to texts, numbers or paths, all as text. Raises: TypeError."""
    found = mapping(name, value)
    for key, item in found.items():
        if not isinstance(item, str | int | float | os.PathLike):
            raise TypeError(f"{name}[{key!r}] must be text, not {item!r}")
    return {key: str(item) for key, item in found.items()}


def whole(name: str, value: object) -> int:
    """A whole number. Raises: TypeError."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    return int(value.__index__())


def seconds(name: str, value: object) -> float | None:
    """A number of seconds; None means no limit. Raises: InvalidValue, TypeError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not value > 0:  # NaN is not, either
        raise InvalidValue(f"The {name.replace('_', ' ')} must be more than 0 seconds, not {value:g}.")
    return value
