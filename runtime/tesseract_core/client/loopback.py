"""Loopback addresses in a container, where they mean the container itself and hardly ever what their author meant."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

# Files that Podman and Docker put into a container.
_CONTAINER_MARKS = ("/run/.containerenv", "/.dockerenv")

ADVICE = "serve the other Tesseract in the same --network, and name it as http://ALIAS:8000 by its --network-alias"


def means_this_container(url: str) -> bool:
    """Whether this is a container, and the host of `url` is a loopback address."""
    if not any(map(os.path.exists, _CONTAINER_MARKS)):
        return False
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or something that the client will complain about
        return False
