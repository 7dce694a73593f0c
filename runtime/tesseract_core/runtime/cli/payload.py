"""From the payload on a command line to the model that an endpoint takes."""

from __future__ import annotations

import codecs
import os
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from tesseract_core.runtime.cli.errors import UsageError
from tesseract_core.runtime.file_interactions import cause_of, is_url, read_from_path, replace_file
from tesseract_core.runtime.problems import WRAP, forgot_inputs
from tesseract_core.runtime.trust import close_process

Model = TypeVar("Model", bound=BaseModel)


def read_payload(argument: str, command: str) -> Any:
    """Return the JSON value of a payload. What comes from a URL may read only what the operator allows: see `trust`.

    Args:
        argument: JSON text, or `@` and where to read it: a path (below the working directory if relative), a URL of
            any file system that fsspec knows, or `-` for stdin.
        command: Name of the command, for errors.

    Raises:
        UsageError: It cannot be read, or is not JSON.
    """
    place = argument.lstrip("@") if argument.startswith("@") else ""
    try:
        content = _read(place) if place else argument
        if is_url(place) and not place.lower().startswith("file://"):
            close_process()
    except Exception as error:  # whatever the library behind a URL raises: a missing driver, refused credentials
        raise UsageError(f"Invalid value for payload: cannot read {place}: {_reason(error)}", command) from None
    try:
        return from_json(content)
    except ValueError as error:
        where = f" in {place}" if place else ""
        raise UsageError(f"Invalid value for payload: malformed JSON{where}: {error}", command) from None


def _read(place: str) -> bytes:
    if place == "-":
        with open(0, "rb", closefd=False) as stdin:
            content = stdin.read()
    else:
        content = read_from_path(place)
    return content.removeprefix(codecs.BOM_UTF8)


def _reason(error: Exception) -> str:
    cause = cause_of(error)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return "not found" if isinstance(cause, FileNotFoundError) else f"{type(cause).__name__}: {cause}"


def validate_payload(schema: type[Model], value: Any, command: str) -> Model:
    """Return `value` as an instance of an endpoint's input schema.

    Raises:
        UsageError: It does not fit; the message is pydantic's.
    """
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        hint = f"\n{WRAP}" if any(map(forgot_inputs, error.errors(include_url=False))) else ""
        raise UsageError(f"Invalid value for payload: {error}{hint}", command) from None


def write_result(content: bytes, output_path: str, output_file: str, result_fd: int) -> None:
    """Write an encoded result to stdout, or to `output_file` below `output_path`, which is never half-written.

    Raises:
        OSError: It cannot be written.
    """
    if output_file:
        target = os.path.join(output_path, output_file)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return replace_file(target, content)
    view = memoryview(content)
    while view:
        view = view[os.write(result_fd, view) :]
    if os.isatty(result_fd):  # a prompt belongs on a line of its own; a program gets exactly the result
        os.write(result_fd, b"\n")
