"""Who may call, and how much they may send: small ASGI layers around the application."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from tesseract_core.authority import parse_authority
from tesseract_core.runtime.serve.asgi import ASGIApp, Receive, Scope, Send, header, send_reply
from tesseract_core.runtime.serve.errors import detail
from tesseract_core.runtime.serve.messages import Reply
from tesseract_core.runtime.url_patterns import host_matcher

DEFAULT_MAX_BODY = 4 * 1024**3
_MAX_KNOWN = 16


def known_routes(app: ASGIApp, routes: Mapping[str, tuple[str, ...]]) -> ASGIApp:
    """Let pass what `routes` (path → methods) names; else 404, 405, or 307 for a trailing slash."""

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        path = scope["path"]
        methods = routes.get(path)
        if methods is None:
            slashless = path[:-1]
            if path.endswith("/") and slashless in routes:
                query = scope["query_string"].decode("latin-1")
                location = quote(slashless) + (f"?{query}" if query else "")
                return await send_reply(send, Reply(307, b"", headers={"location": location}))
            return await send_reply(send, detail(404, "Not Found"))
        if scope["method"] not in methods:
            return await send_reply(send, detail(405, "Method Not Allowed", {"allow": ", ".join(methods)}))
        return await app(scope, receive, send)

    return layer


def check_host(app: ASGIApp, names: Iterable[str]) -> ASGIApp:
    """Refuse with 421 a `Host` header that is neither an IP address nor one of `names` (see `url_patterns`).

    A web page that has its own host name resolve to 127.0.0.1 (DNS rebinding) sends its own name.
    """
    is_allowed = host_matcher(names)
    known = {""}  # and a few headers that were accepted: most clients send the same one each time

    def accepted(host: str) -> bool:
        if host in known:
            return True
        here = parse_authority(host)
        fits = here is not None and (here.is_address or is_allowed(here.name))
        if fits and len(known) < _MAX_KNOWN:
            known.add(host)
        return fits

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = header(scope, b"host")
            if not accepted(host):
                name = here.name if (here := parse_authority(host)) else host[:200]
                message = f"This server does not answer to the name {name!r}; allow it with TESSERACT_ALLOWED_HOSTS"
                return await send_reply(send, detail(421, message))
        return await app(scope, receive, send)

    return layer


def require_token(app: ASGIApp, token: str, public: Iterable[str]) -> ASGIApp:
    """Refuse with 401 what lacks `Authorization: Bearer <token>`, except for the paths in `public`."""
    expected = token.encode()
    open_paths = frozenset(public)

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in open_paths:
            scheme, _, given = header(scope, b"authorization").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("latin-1"), expected):
                message = "This server requires a token: send the header 'Authorization: Bearer <token>'"
                return await send_reply(send, detail(401, message, {"www-authenticate": "Bearer"}))
        return await app(scope, receive, send)

    return layer


def body_limit(configured: int) -> int:
    """Return the limit in bytes: the configured one, else 4 GiB or half of the memory limit if that is less."""
    return configured or min(DEFAULT_MAX_BODY, memory_limit() // 2)


def memory_limit() -> int:
    """Bytes of memory that this process may use: what the machine has, or the cgroup allows."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # absent, or "max"
            continue
    return min(limits)
