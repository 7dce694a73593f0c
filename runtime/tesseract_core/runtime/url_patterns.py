"""One syntax for hosts and URLs that an operator allows.

A host is `NAME`, `*.DOMAIN` (each name below it) or `*`. A URL is `[SCHEME://]HOST[:PORT][/PATH]`, where the scheme is
http unless given and the port may be `*`, and stands for itself and all that is below it. `*` is every URL of http and
https: other schemes may mean this very machine (`file:`), and are named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLACE = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(.*))?")
_PORTS = {"http": "80", "https": "443"}


class _Url(NamedTuple):
    scheme: str
    user: str
    host: str
    port: str
    path: str
    query: str


def host_matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Says of a host name in lower case, without a dot at its end, whether it is one of `patterns`.

    Of a pattern only the host counts: people paste it with scheme or port.
    """
    hosts = {_host_of(pattern) for pattern in patterns}
    domains = tuple(host[1:] for host in hosts if host.startswith("*."))
    return lambda name: name in hosts or "*" in hosts or name.endswith(domains)


def below(url: str, patterns: Iterable[str]) -> bool:
    """Whether a URL is one of `patterns`, or below one.

    "http://data" covers http://data/x, and neither http://database/ nor http://data@elsewhere/. Nothing that climbs
    (`..`) or that two libraries might read in two ways is below anything.
    """
    wanted = _parsed(url)
    if wanted is None or ".." in unquote(url).replace("\\", "/").split("/"):
        return False
    return any(
        wanted.scheme in _PORTS if text == "*" else (pattern := _parsed(text)) is not None and _covers(pattern, wanted)
        for text in patterns
    )


def _covers(pattern: _Url, url: _Url) -> bool:
    return (
        pattern.scheme == url.scheme
        and pattern.user == url.user
        and _host_is(url.host, pattern.host)
        and pattern.port in ("*", url.port)
        and (url.path == pattern.path or url.path.startswith(pattern.path + "/"))
        and pattern.query in ("", url.query)
    )


def _parsed(text: str) -> _Url | None:
    """None for what is no URL, or is read differently by different libraries."""
    if not _SCHEME.match(text):
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    # `::` chains file systems in fsspec; inside of brackets it belongs to an address.
    chained = "::" in re.sub(r"\[[0-9A-Fa-f:.]*\]", "", text)
    if chained or re.search(r"[\x00-\x1f\x7f]", text) or re.search(r"[\\\s]", parts.netloc):
        return None
    user, _, place = parts.netloc.rpartition("@")
    if (address := _PLACE.fullmatch(place)) is None:
        return None
    host, port = address[1], address[2] or _PORTS.get(parts.scheme, "")
    if parts.scheme in _PORTS:
        host = host.lower().rstrip(".")
    return _Url(parts.scheme, user, host, port, parts.path.rstrip("/"), parts.query)


def _host_is(name: str, pattern: str) -> bool:
    return pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))


def _host_of(pattern: str) -> str:
    """The host in a pattern that may hold more, as people paste it from the address line."""
    place = re.sub(_SCHEME, "", pattern.strip()).partition("/")[0]
    if place.startswith("["):
        return place[1:].partition("]")[0].lower()
    return (place.partition(":")[0] if place.count(":") == 1 else place).lower().rstrip(".")
