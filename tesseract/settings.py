"""Settings of the host tool: environment variables `TESSERACT_*`, and what a program sets over them.

The environment is read again at each `get_config()`; only what `update_config` was given sticks.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

ENGINES = ("auto", "podman", "docker")


@dataclass(frozen=True)
class HostConfig:
    """Settings of the host tool.

    Attributes:
        engine: `auto`, `podman` or `docker`.
        docker_executable: Engine's command line, first word resolved to an absolute path where it was set.
        docker_build_args: Arguments added to every image build.
        docker_run_args: Arguments added to every `run` and `serve`.
        uv_executable, conda_executable: Programs that make environments for `Tesseract.from_source`.
        model_fields_set: Names of the settings that do not have their default value's origin, but were set.
    """

    engine: str = "auto"
    docker_executable: tuple[str, ...] = ("docker",)
    docker_build_args: tuple[str, ...] = ()
    docker_run_args: tuple[str, ...] = ()
    uv_executable: tuple[str, ...] = ("uv",)
    conda_executable: tuple[str, ...] = ("conda",)
    model_fields_set: frozenset[str] = frozenset()


_overrides: dict[str, Any] = {}


def get_config() -> HostConfig:
    """The settings as they are now.

    Raises:
        pydantic.ValidationError: A setting is malformed, or names a program that does not exist.
    """
    return _build(_overrides)


def update_config(**values: Any) -> HostConfig:
    """Set settings for the rest of this process; they beat the environment. Raises like `get_config`."""
    config = _build({**_overrides, **values})
    _overrides.update(values)
    return config


def _build(overrides: dict[str, Any]) -> HostConfig:
    known = [f.name for f in fields(HostConfig) if f.name != "model_fields_set"]
    problems: list[tuple[str, Any, str]] = [(n, v, "Unknown setting.") for n, v in overrides.items() if n not in known]
    given = {
        name: os.environ[f"TESSERACT_{name.upper()}"] for name in known if os.environ.get(f"TESSERACT_{name.upper()}")
    }
    given.update({name: value for name, value in overrides.items() if name in known})
    values: dict[str, Any] = {}
    for name, value in given.items():
        try:
            values[name] = _PARSERS[name](value)
        except ValueError as exc:
            problems.append((name, value, str(exc)))
    if "conda_executable" not in values and os.environ.get("CONDA_EXE"):
        values["conda_executable"] = (os.environ["CONDA_EXE"],)
    if problems:
        raise _validation_error(problems)
    return HostConfig(**values, model_fields_set=frozenset(given))


def _validation_error(problems: list[tuple[str, Any, str]]) -> Exception:
    # Callers of the Python interface expect pydantic's exception; the happy path does without its import.
    from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

    return ValidationError.from_exception_data(
        "HostConfig",
        [
            InitErrorDetails(
                type=PydanticCustomError("value_error", "{reason}", {"reason": text}), loc=(name,), input=value
            )
            for name, value, text in problems
        ],
    )


def _engine(value: Any) -> str:
    if value not in ENGINES:
        raise ValueError(f"Unknown engine '{value}': must be one of {', '.join(ENGINES)}.")
    return str(value)


def _words(value: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as exc:
            raise ValueError(f"Cannot be split into words: {exc}.") from exc
    return tuple(str(word) for word in value)


def _command(value: str | Sequence[str]) -> tuple[str, ...]:
    words = _words(value)
    if not words:
        raise ValueError("Must not be empty.")
    program = Path(words[0])
    found = shutil.which(words[0])
    if found is None:
        if program.is_dir():
            raise ValueError(f"Executable `{words[0]}` is not a file.")
        if program.exists():
            raise ValueError(f"Executable `{words[0]}` is not executable.")
        raise ValueError(f"Executable `{words[0]}` not found.")
    return (os.path.abspath(found), *words[1:])


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "engine": _engine,
    "docker_executable": _command,
    "docker_build_args": _words,
    "docker_run_args": _words,
    "uv_executable": _command,
    "conda_executable": _command,
}
