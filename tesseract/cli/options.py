"""Options that `serve` and `run` share, and how their values are read.

Modules with many parameters do without `from __future__ import annotations`: cyclopts would evaluate the texts of the
annotations again and again.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from tesseract.errors import InvalidValue, UsageError

DATA = Group("Data", sort_key=1)
CONTAINER = Group("Container", sort_key=2)
NETWORK = Group("Network", sort_key=3)
ENGINE = Group("Engine", sort_key=5)
GLOBAL = Group("Global options", sort_key=100)


def switch(**settings: Any) -> Parameter:
    """A flag, or an option that may be repeated: no `--no-...` form, no default worth printing."""
    return Parameter(negative="", show_default=False, **settings)


OutputFormat = Literal["json", "json+base64", "json+binref"]


@Parameter(name="*")
@dataclass(frozen=True)
class ContainerOptions:
    """What a container gets from the command line, whatever it is for."""

    input_path: Annotated[
        str | None,
        Parameter(
            name=["--input-path", "-i"],
            metavar="DIR|URL",
            group=DATA,
            help="Directory that the Tesseract reads (mounted read-only), or a URL.",
        ),
    ] = None
    output_path: Annotated[
        str | None,
        Parameter(
            name=["--output-path", "-o"],
            metavar="DIR|URL",
            group=DATA,
            help="Directory that the Tesseract writes to (made if missing), or a URL.",
        ),
    ] = None
    output_format: Annotated[
        OutputFormat | None,
        Parameter(
            name=["--output-format", "-f"], metavar="FORMAT", group=DATA, help="How arrays in results are encoded."
        ),
    ] = None
    volume: Annotated[
        list[str],
        switch(
            name=["--volume", "-v"],
            metavar="SPEC",
            group=DATA,
            help="source:target[:mode], repeatable; read-only unless the mode says rw.",
        ),
    ] = field(default_factory=list)
    env: Annotated[
        list[str],
        switch(
            name=["--env", "-e"],
            metavar="KEY=VALUE",
            group=CONTAINER,
            help="Environment variable, repeatable.",
        ),
    ] = field(default_factory=list)
    gpus: Annotated[
        list[str],
        switch(
            metavar="GPU",
            group=CONTAINER,
            help="GPU index, UUID, CDI name, or all; repeatable.",
        ),
    ] = field(default_factory=list)
    memory: Annotated[
        str | None,
        Parameter(name=["--memory", "-m"], metavar="LIMIT", group=CONTAINER, help="Memory limit, like 512m or 2g."),
    ] = None
    shm_size: Annotated[
        str | None,
        Parameter(metavar="SIZE", group=CONTAINER, help="Size of its /dev/shm, like 1g; 64m by default."),
    ] = None
    user: Annotated[
        str | None,
        Parameter(
            metavar="UID[:GID]",
            group=CONTAINER,
            help="UID[:GID] inside the container; yours by default. Files stay yours.",
        ),
    ] = None
    userns: Annotated[
        str | None,
        Parameter(metavar="MODE", group=CONTAINER, help="User namespace: host, or a mode of the engine."),
    ] = None
    read_only: Annotated[bool, switch(group=CONTAINER, help="Make the container's own file system read-only.")] = False
    network: Annotated[
        str | None,
        Parameter(
            metavar="NAME",
            group=NETWORK,
            help="Network to join (made if missing), host, none, or a mode of the engine.",
        ),
    ] = None


def whole_number(_type: Any, tokens: Sequence[Any]) -> int:
    """An integer; cyclopts by itself would round `1.5` to one. Raises: ValueError."""
    text = str(tokens[0].value)
    if not text.strip().lstrip("+-").isdecimal():
        raise ValueError(f"'{text}' is not a whole number.")
    return int(text)


def parse_env(items: Sequence[str], message: str) -> dict[str, str]:
    """`KEY=VALUE` items, split at the first `=`. Raises: UsageError with `message`, where `{}` is the bad item."""
    for item in items:
        if "=" not in item:
            raise UsageError(message.format(item))
    return dict(item.split("=", 1) for item in items)


def split_words(option: str, text: str | None) -> list[str]:
    """Words of a shell-quoted option value. Raises: InvalidValue."""
    try:
        return shlex.split(text or "")
    except ValueError as error:
        raise InvalidValue(f"Invalid value for {option}: {error}. Check the quotes in {text!r}.") from error
