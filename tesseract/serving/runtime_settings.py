"""Settings of the runtime that a Python caller gives, as the environment variables that a served runtime reads.

They mean what they mean in process (`Tesseract.from_tesseract_api`): lists are lists, and `None` is the field's own
default, whatever the image or the caller's environment says.
"""

from __future__ import annotations

import ast
import difflib
import os
import warnings
from collections.abc import Mapping, Sequence, Set

from tesseract.errors import InvalidValue


def variable(key: str) -> str:
    """The variable of a setting."""
    return f"TESSERACT_{key.upper()}"


def as_variables(settings: Mapping[str, object]) -> dict[str, str]:
    """The variables of all settings. Raises: InvalidValue for a value that no variable can hold."""
    return {variable(key): _text(key, value) for key, value in settings.items()}


def warn_of_unknown(settings: Mapping[str, object], stacklevel: int) -> None:
    """A setting that this version does not know has an effect in an image of a newer one at most: say so."""
    if not settings:
        return
    from tesseract_core.runtime.config import RuntimeConfig

    for key in settings.keys() - RuntimeConfig.model_fields.keys():
        near = difflib.get_close_matches(key, RuntimeConfig.model_fields, 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        warnings.warn(
            f"runtime_config: the runtime of this version has no setting '{key}'.{hint}", stacklevel=stacklevel + 1
        )


def _text(key: str, value: object) -> str:
    text = _plain(key, value)
    if "\0" in text:
        raise InvalidValue(f"runtime_config[{key!r}] holds a zero character, which no environment variable can.")
    return text


def _plain(key: str, value: object) -> str:
    if value is None:
        return ""  # which the runtime takes for unset
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return _literal(key, dict(value))
    if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray):
        return _list(key, list(value))
    return str(value)


def _list(key: str, items: list[object]) -> str:
    """Separated by commas; one alone is the list without items, because an empty variable counts as unset."""
    texts = []
    for item in items:
        if not isinstance(item, str | os.PathLike):
            raise InvalidValue(f"runtime_config[{key!r}] must be a list of texts, but {item!r} is none.")
        text = str(os.fspath(item))
        if "," in text or text != text.strip() or not text:
            raise InvalidValue(
                f"{text!r} in runtime_config[{key!r}] cannot be passed to a server, which takes lists separated by "
                "commas: leave out items that are empty, have a comma, or begin or end with a space."
            )
        texts.append(text)
    return ",".join(texts) or ","


def _literal(key: str, value: dict[object, object]) -> str:
    text = repr(value)
    try:
        same = ast.literal_eval(text) == value
    except (ValueError, SyntaxError, TypeError):
        same = False
    if not same:
        raise InvalidValue(
            f"runtime_config[{key!r}] cannot be passed to a server: use texts, numbers, True, False, None, lists and "
            f"dicts in it, not {text}."
        )
    return text
