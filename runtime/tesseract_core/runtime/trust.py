"""What a payload may make the runtime read: files, URLs and other Tesseracts.

The user of a command line or of Python could read those places anyway: everything is open. A request to a server comes
from somebody else, and so does a payload that was fetched from a URL: for these everything is closed but the input path
and what the operator names. Directories and URLs that the operator names bind everyone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from tesseract_core.redirects import Rule
from tesseract_core.runtime.config import env_name, get_config
from tesseract_core.runtime.paths import confine
from tesseract_core.runtime.url_patterns import below

ROOTS_SETTING = env_name("binref_roots")

# Set for what a server runs, and for the children of that; `tesseract run` sets both in a container.
_CLOSED = "_TESSERACT_CLOSED"
_VOLUMES = "_TESSERACT_VOLUMES"


class _Sender(NamedTuple):
    closed: bool = False
    urls: tuple[str, ...] = ()


_OPERATOR = _Sender()
_sender: ContextVar[_Sender] = ContextVar("tesseract_sender", default=_OPERATOR)


def is_closed() -> bool:
    """Whether the payload at hand may read only what the operator allows."""
    return _sender.get().closed or os.environ.get(_CLOSED) == "1"


def close_process() -> None:
    """Close this process and its children from here on: what they compute is for somebody else."""
    os.environ[_CLOSED] = "1"


@contextmanager
def closed_process() -> Iterator[None]:
    """Close this process and its children within the block."""
    before = os.environ.get(_CLOSED)
    close_process()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_CLOSED, None)


@contextmanager
def network_payload(value: bool = True, urls: tuple[str, ...] = ()) -> Iterator[None]:
    """Within the block, payloads count as coming from the network (False: from the operator).

    Args:
        value: Whether they do.
        urls: URLs below which such a payload may read, beside those that the operator names.
    """
    token = _sender.set(_Sender(value, urls))
    try:
        yield
    finally:
        _sender.reset(token)


def readable_roots() -> tuple[str, ...] | None:
    """Directories that the files of a payload must be in; None where it may read any."""
    config = get_config()
    if not is_closed() and "binref_roots" not in config.model_fields_set:
        return None
    volumes = [target for target in os.environ.get(_VOLUMES, "").split(":") if target]
    return (config.input_path, *config.binref_roots, *volumes)


def readable_file(path: str, base: str, *, what: str = "file", roots: Sequence[str] = ()) -> str:
    """The path of a file (or directory) that a payload names.

    Args:
        path: As the payload gives it: relative to `base`, or absolute.
        base: A directory.
        what: How to call it in the error message.
        roots: Directories that it may be in, beside those that the operator allows.

    Returns:
        The absolute path, symbolic links followed. It need not exist.

    Raises:
        ValueError: It is in none of the allowed directories; the message names its directory and the setting.
    """
    target = str(confine(os.path.join(base, path), "/", what=what))
    allowed = readable_roots()
    if allowed is None:
        return target
    for root in (*roots, *allowed):
        with suppress(ValueError):
            return str(confine(target, root))
    directory = path if what == "directory" else str(Path(path).parent)
    more = f"the directory {directory!r}" if os.path.isabs(directory) else "more directories"
    raise ValueError(
        f"{what} {path!r} is outside of the input path and may not be read here; its operator allows {more} "
        f"with {ROOTS_SETTING}"
    )


def check_url(url: str) -> None:
    """Refuse a URL that a payload names where the operator does not allow it.

    Raises:
        ValueError: It is not at or below one of the `allowed_url_prefixes`; the message names the setting.
    """
    if not _allows(url):
        raise ValueError(f"the URL {url!r} is not allowed here; {_ADVICE}")


def _allows(url: str) -> bool:
    config = get_config()
    if not is_closed() and "allowed_url_prefixes" not in config.model_fields_set:
        return True
    return below(url, (*config.allowed_url_prefixes, *_sender.get().urls))


_ADVICE = f"its operator allows URLs with {env_name('allowed_url_prefixes')}"
REDIRECTS = Rule(_allows, _ADVICE)
"""For what is read from a URL that a payload names: each redirect is checked like that URL."""
