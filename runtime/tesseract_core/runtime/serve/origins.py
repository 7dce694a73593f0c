"""Which web pages may call. A browser names the page that makes a request in the header `Origin`; nobody else does.

A page of another site can reach a server on the user's own machine through his browser. It may not read the answer, but
a call would run. Pages that this server delivers itself (`/docs`) are recognised by the request's own `Host`, so they
also work through `ssh -L` and through proxies that keep it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tesseract_core.authority import parse_authority, parse_origin
from tesseract_core.runtime.serve.asgi import ASGIApp, Event, Receive, Scope, Send, header, send_reply
from tesseract_core.runtime.serve.errors import detail
from tesseract_core.runtime.serve.messages import Reply

ANY = "*"
_METHODS = "GET, HEAD, POST"
_EXPOSED = b"tesseract-run-id, retry-after, www-authenticate"
_PREFLIGHT_AGE_S = "600"


def check_origin(app: ASGIApp, allowed: Iterable[str], *, refuse: bool) -> ASGIApp:
    """Answer pages of the origins in `allowed` (`*`: any) with CORS headers, their preflight requests included.

    With `refuse`, pages of other origins than that of the request's own `Host` get 403, whatever they ask for.
    """
    named = {parse_origin(origin) or origin for origin in allowed}
    everybody = ANY in named

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        given = header(scope, b"origin") if scope["type"] == "http" else ""
        if not given:
            return await app(scope, receive, send)
        if everybody or (parse_origin(given) or given) in named:
            shared = _sharing(send, ANY if everybody else given)
            if scope["method"] == "OPTIONS" and header(scope, b"access-control-request-method"):
                return await send_reply(shared, Reply(204, b"", headers=_preflight(scope)))
            return await app(scope, receive, shared)
        if refuse and not _from_here(given, header(scope, b"host")):
            message = (
                f"Web pages of {given[:200]!r} may not call this server; allow them with --allowed-origin ORIGIN or "
                "TESSERACT_ALLOWED_ORIGINS"
            )
            return await send_reply(send, detail(403, message, {"vary": "Origin"}))
        return await app(scope, receive, send)

    return layer


def _from_here(origin: str, host: str) -> bool:
    page, here = parse_origin(origin), parse_authority(host)
    return page is not None and here is not None and page.names(here)


def _sharing(send: Send, origin: str) -> Send:
    """Return `send` with the headers that let a page of `origin` read the answer."""
    added = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    ]

    async def sharing(event: Event) -> None:
        if event["type"] == "http.response.start":
            event = {**event, "headers": [*event["headers"], *added]}
        await send(event)

    return sharing


def _preflight(scope: Scope) -> dict[str, str]:
    headers = {
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": header(scope, b"access-control-request-headers") or "content-type",
        "access-control-max-age": _PREFLIGHT_AGE_S,
    }
    if header(scope, b"access-control-request-private-network"):
        headers["access-control-allow-private-network"] = "true"
    return headers
