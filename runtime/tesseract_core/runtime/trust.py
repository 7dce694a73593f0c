"""What a payload may make the runtime reach: who sent it, and which URLs its operator allows.

Whoever writes a command line or calls from Python could reach those places anyway. Whoever sends an HTTP request may
not be allowed to, so the server marks what it handles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import unquote

from tesseract_core.runtime.config import get_config

_from_network: ContextVar[bool] = ContextVar("tesseract_payload_from_network", default=False)


def from_network() -> bool:
    """Whether the payload at hand came with an HTTP request."""
    return _from_network.get()


@contextmanager
def network_payload(value: bool = True) -> Iterator[None]:
    """Within the block, payloads count as coming from the network (False: from the operator)."""
    token = _from_network.set(value)
    try:
        yield
    finally:
        _from_network.reset(token)


def check_url(url: str) -> None:
    """Refuse a URL that is not at or below one of the configured `allowed_url_prefixes`.

    Raises:
        ValueError: It is not; the message names the setting.
    """
    # "http://data" allows http://data/x, and neither http://database/ nor http://data@elsewhere/.
    below = any(
        url == prefix or url.startswith(prefix.rstrip("/") + "/") for prefix in get_config().allowed_url_prefixes
    )
    if not below or ".." in unquote(url).replace("\\", "/").split("/"):
        raise ValueError(
            f"the URL {url!r} is not allowed here; its operator allows URLs with TESSERACT_ALLOWED_URL_PREFIXES"
        )
