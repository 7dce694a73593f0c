"""Fields that hold paths of files and folders below the input or the output path, and `require_file`.

A path is resolved (symbolic links included) and must end below its directory. Messages speak of the path as it was
given: where the directory lies on the server is none of the client's business.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, SerializationInfo, ValidationInfo, WithJsonSchema

from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.paths import confine

PATHS_AS_TEXT = "paths_as_text"  # key of a serialisation context


class _Check(AfterValidator):
    """A validator that returns what it is given where it has been before, so it may run again on results."""


def _existing(path: Path, directory: str, what: str, unchecked: bool = False) -> Path:
    resolved = confine(path, directory, what=f"{what} path")
    if not unchecked and not os.path.exists(resolved):  # False also for names that no file can have
        raise ValueError(f"{path} does not exist in the {what} path")
    return resolved


def _unchecked(info: ValidationInfo) -> bool:
    return bool((info.context or {}).get("skip_path_checks", False))


# pydantic passes `info` only to functions that require it.
def _input_path(path: Path, info: ValidationInfo) -> Path:
    return _existing(path, get_config().input_path, "input", _unchecked(info))


def _output_path(path: Path, info: ValidationInfo) -> Path:
    return _existing(path, get_config().output_path, "output", _unchecked(info))


def _relative_to_output(path: str | Path) -> str:
    path, directory = Path(path), Path(get_config().output_path).resolve()
    return str(path.relative_to(directory) if path.is_relative_to(directory) else path)


def _regular_file(path: Path, info: ValidationInfo) -> Path:
    if not _unchecked(info) and not path.is_file():
        raise ValueError(f"{path.name} is not a file")
    return path


def _text(write: Callable[[Any], str]) -> PlainSerializer:
    """Text in JSON, and in dumps whose context asks for it (`PATHS_AS_TEXT`); else the path stays as it is."""

    def serialize(path: Any, info: SerializationInfo) -> Any:
        wanted = info.mode_is_json() or (isinstance(info.context, dict) and info.context.get(PATHS_AS_TEXT))
        return write(path) if wanted else path

    return PlainSerializer(serialize, return_type=Annotated[Any, WithJsonSchema({"type": "string", "format": "path"})])


InputPath = Annotated[Path, _Check(_input_path), _text(str)]
"""A file or folder that exists below the input path. In memory and in JSON: its absolute path."""

OutputPath = Annotated[Path, _Check(_output_path), _text(_relative_to_output)]
"""Existing file or folder below the output path. In memory its absolute path, in JSON relative to the output path."""

InputFileReference = Annotated[InputPath, _Check(_regular_file)]
"""Deprecated: an `InputPath` that must be a regular file."""

OutputFileReference = Annotated[
    OutputPath,
    _Check(_regular_file),
    _Check(lambda path: Path(_relative_to_output(path))),
]
"""Deprecated: an `OutputPath` that must be a regular file; in memory, too, it is relative to the output path."""


def require_file(file_path: str | Path) -> Path:
    """Say, while `tesseract_api.py` is imported, that a file must exist below the input path.

    Args:
        file_path: Path of the file, relative to the input path (or absolute and below it).

    Returns:
        Its absolute path, symbolic links resolved. Where files are not checked (see the package's
        `SKIP_REQUIRED_FILE_CHECK`), `Path(file_path)`.

    Raises:
        ValueError: The path is missing or leads out of the input path.
        FileNotFoundError: It is there, but is not a regular file.
    """
    from tesseract_core.runtime import experimental

    if experimental.SKIP_REQUIRED_FILE_CHECK:
        return Path(file_path)
    try:
        resolved = _existing(Path(file_path), get_config().input_path, "input")
    except ValueError as error:
        raise ValueError(f"required file: {error}; give the directory that holds it with --input-path") from None
    if not resolved.is_file():
        raise FileNotFoundError(f"required file {file_path} is not a regular file")
    return resolved
