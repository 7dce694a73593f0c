"""Configuration overrides: `build_config.base_image=ubuntu:24.04` on the command line, tuples of keys in Python."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic import ValidationError as SchemaError

from tesseract.errors import UsageError, UserError
from tesseract.projects.report import one_line

KeyPath = tuple[str, ...]


def parse_override(text: str) -> tuple[KeyPath, str]:
    """Split `key.path=value`. Raises: UsageError."""
    path, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f'Invalid config override "{text}" (must be `keypath=value`)')
    if not re.match(r"\w", path):
        raise UsageError(f'Invalid keypath "{path}" in config override "{text}"')
    return tuple(path.split(".")), value


def apply_overrides(config: BaseModel, overrides: Mapping[Sequence[str], Any]) -> None:
    """Set values in the configuration; strings are read as YAML first and taken verbatim where that does not fit.

    Rules that span several values are kept in the end, in whatever order the values are given.

    Raises:
        UserError: Unknown key, or a value that the key does not accept.
    """
    pending = [((path,) if isinstance(path, str) else tuple(path), value) for path, value in overrides.items()]
    while pending:
        refused: list[tuple[tuple[KeyPath, Any], UserError]] = []
        for item in pending:
            try:
                _set(config, *item)
            except UserError as error:
                refused.append((item, error))
        if len(refused) == len(pending):
            raise refused[0][1]
        pending = [item for item, _ in refused]


def _set(config: BaseModel, path: KeyPath, value: Any) -> None:
    # The way down, so that each level can be checked again once the value is in (rules that span several fields).
    chain: list[tuple[BaseModel, str]] = []
    node: Any = config
    for depth, key in enumerate(path):
        if isinstance(node, dict):
            _set_item(chain, path, depth, node, value)
            return
        if not isinstance(node, BaseModel) or key not in type(node).model_fields:
            if (
                isinstance(node, BaseModel)
                and (key, depth) == ("python_version", 1)
                and "requirements" in option_names(node)
            ):
                return _set(config, (*path[:depth], "requirements", *path[depth:]), value)
            raise _unknown(path[: depth + 1], node, path[:depth])
        chain.append((node, key))
        node = getattr(node, key)
    _assign(chain, path, _interpretations(value))


def option_names(node: BaseModel) -> tuple[str, ...]:
    """Names of the options of one level, sorted."""
    return tuple(sorted(type(node).model_fields))


def _set_item(chain: list[tuple[BaseModel, str]], path: KeyPath, depth: int, node: dict[str, Any], value: Any) -> None:
    # Everything after the name of a mapping is one key: `env.MY.VAR=1` sets the variable MY.VAR.
    key = ".".join(path[depth:])
    _assign(chain, path, [{**node, key: candidate} for candidate in _interpretations(value)], shown=value)


def _interpretations(value: Any) -> list[Any]:
    if not isinstance(value, str):
        return [value]
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        return [value]
    # An empty value is an empty string before it is null.
    return [value] if parsed is None and value.strip() == "" else [parsed, value]


def _assign(chain: list[tuple[BaseModel, str]], path: KeyPath, candidates: list[Any], shown: Any = None) -> None:
    shown = candidates[-1] if shown is None else shown
    name = ".".join(path)
    failure: SchemaError | None = None
    for candidate in candidates:
        owner, key = chain[-1]
        previous = getattr(owner, key)
        try:
            setattr(owner, key, candidate)
            for parent, field in reversed(chain[:-1]):
                child = getattr(parent, field)
                TypeAdapter(type(child)).validate_python(child.model_dump())
        except SchemaError as error:
            _restore(owner, key, previous)
            # The reading that fits the declared type but breaks a rule tells more than the one that does not fit.
            if failure is None or all(item["type"].endswith("_type") for item in failure.errors()):
                failure = error
        else:
            return
    assert failure is not None
    raise UserError(f'Invalid value "{shown}" for config override "{name}": {one_line(failure)}') from failure


def _restore(owner: BaseModel, key: str, value: Any) -> None:
    owner.__dict__[key] = value  # it was valid before


def _unknown(path: KeyPath, node: Any, prefix: KeyPath) -> UserError:
    options = ", ".join(option_names(node)) if isinstance(node, BaseModel) else "(none)"
    where = ".".join(prefix) or "(top level)"
    return UserError(
        f'Invalid config override: "{".".join(path)}" is not a known config option. '
        f"Valid options under {where}: {options}"
    )
