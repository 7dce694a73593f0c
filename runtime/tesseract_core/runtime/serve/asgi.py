"""ASGI in plain types, and the two things that all layers of the application do with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tesseract_core.runtime.serve.messages import Reply

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


async def send_reply(send: Send, reply: Reply) -> None:
    """Send a complete reply."""
    headers = {"content-type": reply.content_type, "content-length": str(len(reply.body)), **reply.headers}
    encoded = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})


def header(scope: Scope, name: bytes) -> str:
    """Return the value of a request header, empty if absent; several become one list, as HTTP defines it."""
    return ", ".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)
