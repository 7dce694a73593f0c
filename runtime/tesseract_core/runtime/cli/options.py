"""The options before the command: one for each field of the configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from tesseract_core.runtime.cli.errors import CommandFailed, UsageError
from tesseract_core.runtime.config import RuntimeConfig, describe_config_errors, get_config, update_config

# The API file is not chosen by an option, as in the contract; a token on a command line can be read by every user.
FIELDS = {name: info for name, info in RuntimeConfig.model_fields.items() if name not in {"api_path", "token"}}
FLAGS = {name for name, info in FIELDS.items() if info.annotation is bool}
HELP_FLAGS = ("--help", "-h")
COMPLETION_FLAGS = ("--install-completion", "--show-completion")


def option_name(field: str) -> str:
    return "--" + field.replace("_", "-")


def env_var(*parts: str) -> str:
    """The variable that gives a value to an option: `TESSERACT_RUNTIME_[<COMMAND>_]<OPTION>`."""
    return "_".join(("TESSERACT_RUNTIME", *parts)).upper().replace("-", "_")


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the global options from the command and what follows it.

    Of an option that is given several times, the last one counts: a script can append to what it was given. A global
    `--help` or completion flag counts as a command.
    """
    commands = {*HELP_FLAGS, *COMPLETION_FLAGS}
    takes_value = {option_name(field) for field in FIELDS if field not in FLAGS}
    given: dict[str, Sequence[str]] = {}
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if not word.startswith("-") or word in commands:
            break
        length = 2 if word in takes_value else 1
        given[word.partition("=")[0].replace("--no-", "--")] = arguments[position : position + length]
        position += length
    return [word for words in given.values() for word in words], list(arguments[position:])


def parse(tokens: Sequence[str]) -> dict[str, str | bool] | None:
    """The values of global options by field; None where it takes a real parser to say what is meant, or wrong."""
    values: dict[str, str | bool] = {}
    words = iter(tokens)
    for word in words:
        name, equals, value = word.partition("=")
        field = name.removeprefix("--").replace("-", "_")
        flag = field.removeprefix("no_")
        if name != option_name(field):
            return None
        if flag in FLAGS and not equals:
            values[flag] = flag == field
        elif field in FIELDS and field not in FLAGS and (given := value if equals else next(words, None)) is not None:
            values[field] = given
        else:
            return None
    return values


def parse_serve(tokens: Sequence[str]) -> dict[str, Any] | None:
    """The given options of `serve` by the name of their parameter; None as for `parse`.

    The parser costs a tenth of a server's start, and containers are started with nothing but a host and numbers.
    """
    values: dict[str, Any] = {}
    for name, value in zip(tokens[::2], tokens[1::2], strict=False):
        if name == "--host" and not value.startswith("-"):
            values["host"] = value
        elif name in ("--port", "--num-workers") and re.fullmatch("[1-9][0-9]{0,4}", value) and int(value) < 1 << 16:
            values[name.removeprefix("--").replace("-", "_")] = int(value)
    from_variables = any(variable.startswith(env_var()) for variable in os.environ)
    return values if len(tokens) == 2 * len(values) and not from_variables else None


def configure(options: dict[str, str | bool]) -> None:
    """Apply the global options.

    Precedence: option > `TESSERACT_RUNTIME_<OPTION>` > `TESSERACT_<FIELD>` > default.

    Raises:
        UsageError: An option has a value that its field does not accept.
        CommandFailed: A variable has.
    """
    overrides: dict[str, str | bool] = {}
    sources = {}
    for field in FIELDS:
        if field in options:
            overrides[field], sources[field] = options[field], option_name(field)
        elif value := os.environ.get(env_var(field)):
            overrides[field], sources[field] = value, env_var(field)
    try:
        update_config(**overrides)
        get_config()
    except ValidationError as error:
        lines = describe_config_errors(error, sources)
        from_options = any(line.startswith("--") for line in lines)
        raise (UsageError if from_options else CommandFailed)("\n".join(lines)) from None


def allow_origins(origins: Sequence[str]) -> None:
    """Add `origins` (values of `serve --allowed-origin`) to those that the configuration allows.

    Raises:
        UsageError: One of them is none.
    """
    if origins:
        try:
            update_config(allowed_origins=(*get_config().allowed_origins, *origins))
        except ValidationError as error:
            lines = describe_config_errors(error, {"allowed_origins": "--allowed-origin"})
            raise UsageError("\n".join(lines), "serve") from None
