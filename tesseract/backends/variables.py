"""A container's variables, where the engine's executable makes it: in no argv, which every local user can read.

They go to it on its standard input, as an env file. A value that such a file cannot hold (a line break, a line of more
than 64 KiB) goes by the executable's own environment, which only its user can read, and `--env=NAME` takes it from
there. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

from tesseract.backends.spec import ContainerSpec
from tesseract.errors import InvalidValue

_LONGEST_LINE = 60_000
# Variables by which the executable, or a program that it starts, decides what it does on this machine.
_OF_THE_PROGRAM = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|TERM|TMPDIR|LANG(UAGE)?|TZ|[a-z_]+_proxy|[A-Z_]+_PROXY|"
    r"(LD|DYLD|GLIBC|MALLOC|LC|XDG|SSL|SSH|GIT|SUDO|DBUS|LISTEN|NOTIFY|CONTAINERS?|PODMAN|BUILDAH|STORAGE|REGISTRY|"
    r"NETAVARK|AARDVARK|CONMON|CRUN|RUNC|DOCKER|BUILDKIT|BUILDX)_\w*|GO[A-Z]+|_\w*"
)


def lifted(spec: ContainerSpec) -> ContainerSpec:
    """The same with `--env NAME=VALUE` among its raw engine arguments as variables like any other."""
    env, rest = dict(spec.env), []
    given = iter(spec.raw_args)
    for word in given:
        taken = [word]
        if word in ("-e", "--env"):
            taken += list(islice(given, 1))
            assignment = taken[-1]
        elif match := re.match(r"--env=|-e=?(?=.)", word):
            assignment = word[match.end() :]
        else:
            assignment = ""
        name, equals, value = assignment.partition("=")
        if name and equals:
            env[name] = value
        else:
            rest += taken
    return replace(spec, env=env, raw_args=tuple(rest))


def words(env: Mapping[str, str]) -> list[str]:
    """The words for `create` that say where the variables are."""
    fit = any(map(_fits_line, env.items()))
    named = [f"--env={name}" for name, value in env.items() if not _fits_line((name, value))]
    return [*(["--env-file=/dev/stdin"] if fit else []), *named]


def file(env: Mapping[str, str]) -> bytes:
    """The env file. Engines take what follows the first `=` as it is, up to the end of the line."""
    return "".join(f"{name}={value}\n" for name, value in env.items() if _fits_line((name, value))).encode(
        "utf-8", "surrogateescape"
    )


def environment(env: Mapping[str, str], inherited: bool = True) -> dict[str, str]:
    """Variables for the executable.

    Args:
        env: The container's variables.
        inherited: Whether the executable gets our environment; behind sudo it does not.

    Raises:
        InvalidValue: A value fits nowhere.
    """
    left = {name: value for name, value in env.items() if not _fits_line((name, value))}
    for name in left:
        if not inherited or not re.fullmatch(r"[A-Za-z_]\w*", name) or _OF_THE_PROGRAM.fullmatch(name):
            raise InvalidValue(
                f"The value of {name} has a line break or is very long; with raw engine arguments such a value of such "
                "a variable cannot be passed on. Leave the raw engine arguments out, or use another name or value."
            )
    return left


def _fits_line(item: tuple[str, str]) -> bool:
    name, value = item
    plain = re.fullmatch(r"[^\s#=*][^\s=*]*", name) is not None and not value.endswith("\r") and "\n" not in value
    return plain and len(name.encode(errors="replace")) + len(value.encode(errors="replace")) < _LONGEST_LINE
