"""Values that make no sense, whatever the machine and the engine are like."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Sequence

from tesseract_core.authority import is_allowance

from tesseract.backends.spec import Mount
from tesseract.errors import InvalidValue
from tesseract.serving.requests import ServeRequest


def check_server(request: ServeRequest) -> None:
    """Check the values that need no look at the host. Raises: InvalidValue."""
    if request.num_workers < 1:
        raise InvalidValue(f"The number of workers must be at least 1, not {request.num_workers}.")
    try:
        ipaddress.ip_address(request.host_ip)
    except ValueError:
        raise InvalidValue(
            f"Invalid host IP '{request.host_ip}': must be an address of this machine, for example 127.0.0.1, or "
            "0.0.0.0 for all of them."
        ) from None
    for origin in request.allowed_origins:
        if not is_allowance(origin):
            raise InvalidValue(
                f"Invalid origin '{origin}': must be the beginning of a page's address, https://lab.example.org:8443 "
                "for example, or * for all pages."
            )
    if request.token is not None and not re.fullmatch(r"[\x21-\x7e]+", request.token):
        raise InvalidValue("Invalid token: must be one or more ASCII characters without spaces; auto makes one.")


_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def check_size(what: str, text: str | None, *, zero: bool = False) -> None:
    """Raises: InvalidValue if it is no number of bytes with an optional unit, or 0 unless `zero` is allowed."""
    if text is None:
        return
    number = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]+)?)([bkmg]?)", text, re.ASCII | re.IGNORECASE)
    if number is None or not (zero or float(number[1])):
        raise InvalidValue(f"Invalid {what} '{text}': must be a number and a unit, like 512m or 2g.")
    if float(number[1]) * _UNITS[number[2].lower()] >= 2**63:
        raise InvalidValue(f"Invalid {what} '{text}': must be less than 8 EiB.")


def check_kept(output_file: str, output_dir: str, mounts: Sequence[Mount]) -> None:
    """Raises: InvalidValue if the result would be written to a place that goes with the container."""
    path = posixpath.normpath(posixpath.join(output_dir, output_file))
    kept = (posixpath.normpath(mount.target) for mount in mounts if not mount.read_only and mount.kind != "tmpfs")
    if not any(path.startswith(f"{directory}/") for directory in kept):
        raise InvalidValue(
            f"The result in {path} would go with the container: give --output-path, and an --output-file below it."
        )


def engine_words(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words for the engine. Raises: InvalidValue for a terminal, which would mix what a container writes."""
    for word in words:
        if word.partition("=")[0] == "--tty" or re.fullmatch(r"-[di]*t[di]*", word):
            raise InvalidValue(f"Engine argument {word}: a Tesseract has no terminal. Leave it out.")
    return words


def engine_name(words: Sequence[str]) -> str | None:
    """The container's name, where the words for the engine give one: the last of several counts."""
    name = None
    for word, after in zip(words, (*words[1:], ""), strict=False):
        option, equals, value = word.partition("=")
        if option == "--name":
            name = value if equals else after
    return name
