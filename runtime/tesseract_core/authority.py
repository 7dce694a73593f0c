"""Hosts and origins as clients name them, read strictly: what is not exactly a name or an address is neither."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

# No zone after an IPv6 address: browsers send none, and any text would pass for one.
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]/@?#,%\\]+))(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """A host and the port that stands beside it. `name` is in lower case, without a trailing dot."""

    name: str
    port: int | None

    @property
    def is_address(self) -> bool:
        return is_address(self.name)


class Origin(NamedTuple):
    """Scheme, host and port of a web page."""

    scheme: str
    name: str
    port: int | None

    def names(self, host: Authority) -> bool:
        """Tell whether a page of this origin was loaded from `host`, under whatever scheme."""
        # A port that the scheme implies is left out, and a proxy that ends TLS leaves it out, too.
        default = _DEFAULT_PORTS.get(self.scheme)
        return (self.name, self.port) == (host.name, host.port or default)


def is_address(name: str) -> bool:
    """Tell whether `name` is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_allowance(text: str) -> bool:
    """Tell whether `text` says which pages may call: an origin as browsers send it, or `*` for all of them."""
    return text in ("*", "null") or parse_origin(text) is not None


def parse_authority(text: str) -> Authority | None:
    """Return what `NAME`, `NAME:PORT` or `[IPV6]:PORT` says, None for anything else."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    bracketed, name, port = match.groups()
    if bracketed is not None:
        if not is_address(bracketed):
            return None
        name = ipaddress.ip_address(bracketed).compressed
    name = name.lower().rstrip(".")
    return Authority(name, int(port) if port else None) if name else None


def parse_origin(text: str) -> Origin | None:
    """Return what `SCHEME://HOST[:PORT]` says, None for anything else (`null` included)."""
    scheme, separator, rest = text.strip().partition("://")
    authority = parse_authority(rest.removesuffix("/"))
    if not separator or authority is None or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return None
    return Origin(scheme.lower(), authority.name, authority.port or _DEFAULT_PORTS.get(scheme.lower()))
