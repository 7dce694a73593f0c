"""HTTP redirects that fsspec and requests follow for us: each hop is checked, and credentials stay with their host."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    import requests

_STATUSES = (301, 302, 303, 307, 308)
# What another host may see of a request. Everything else that users configure may be a credential.
_PLAIN_HEADERS = frozenset({"accept", "accept-encoding", "if-range", "range", "user-agent"})


class RedirectRefused(ValueError):
    """A server answered with a redirect that is not followed. The message names both ends."""


class Rule(NamedTuple):
    """Which URLs may be redirected to.

    Attributes:
        allows: Says so of a URL.
        advice: How it can be allowed; ends the message where it is not.
    """

    allows: Callable[[str], bool]
    advice: str


def check_hop(url: str, target: str, rule: Rule | None) -> None:
    """Raises: RedirectRefused if `target`, to which `url` redirects, is not of HTTP, or not allowed."""
    hop = f"{_shown(url)} redirects to {_shown(target)}"
    if urlsplit(target).scheme not in ("http", "https"):
        raise RedirectRefused(f"{hop}: redirects are followed to http and https only")
    if rule is not None and not rule.allows(target):
        raise RedirectRefused(f"{hop}, which is not allowed here; {rule.advice}")


@cache
def aiohttp_trace(rule: Rule | None = None) -> Any:
    """A trace configuration for sessions of aiohttp, fsspec's HTTP client. One per rule: fsspec compares them."""
    from aiohttp import TraceConfig

    async def on_redirect(session: Any, context: Any, params: Any) -> None:
        url = str(params.response.url)
        target = urljoin(url, params.response.headers.get("Location") or params.response.headers.get("URI") or "")
        check_hop(url, target, rule)
        if _origin(url) != _origin(target):
            for name in [name for name in params.headers if name.lower() not in _PLAIN_HEADERS]:
                params.headers.popall(name, None)

    trace = TraceConfig()
    trace.on_request_redirect.append(on_redirect)
    return trace


def requests_hook(rule: Rule) -> Callable[..., requests.Response]:
    """A response hook for sessions of requests, which itself leaves `Authorization` and cookies with their host."""

    def on_response(response: requests.Response, **_: Any) -> requests.Response:
        if response.status_code in _STATUSES and "Location" in response.headers:
            check_hop(response.url, urljoin(response.url, response.headers["Location"]), rule)
        return response

    return on_response


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _shown(url: str) -> str:
    """Without user, password and query."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
