"""What is wrong with a command line, in words that need no knowledge of how it is parsed."""

from __future__ import annotations

from cyclopts import CycloptsError, Token
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnusedCliTokensError,
)

from tesseract.cli.console import did_you_mean
from tesseract.cli.registry import COMMANDS


def wording(error: CycloptsError) -> str:
    """The line for a command line that could not be parsed."""
    match error:
        case UnknownCommandError(unused_tokens=[name, *_]):
            return f"No such command '{name}'.{did_you_mean(name, [command.name for command in COMMANDS])}"
        case UnusedCliTokensError(unused_tokens=[first, *_]):
            return f"Unexpected argument '{first}'.{_remedy(error)}"
        case MissingArgumentError() if error.argument is not None:
            return _missing(error)
        case CoercionError(command_chain=("run",), token=Token(value="serve", keyword=None)):
            return "A one-shot run cannot serve. Use `tesseract serve IMAGE`."
        case RepeatArgumentError():
            return f"{error.token.keyword} may be given only once."
    return str(error)


def _missing(error: MissingArgumentError) -> str:
    assert error.argument is not None
    if error.keyword is None and not error.argument.name.startswith("-"):
        return f"Missing argument {error.argument.name}."
    return f"{error.keyword or error.argument.name} needs a value."


def _remedy(error: CycloptsError) -> str:
    match tuple(error.command_chain or ()):
        case ("run",):
            return " Quote the payload as one word, or give it as @FILE."
        case ("init",):
            return " Give the name as --name NAME."
    return ""
