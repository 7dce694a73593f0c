"""The HTTP side: a Litestar application of raw ASGI handlers around a dispatcher.

It holds no user code. Bodies go into a message as they arrive, replies leave as they lie there; parsing, validation and
encoding happen where the endpoints run.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import traceback
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import orjson
from litestar import Litestar, Request, Response, asgi
from litestar.handlers import ASGIRouteHandler

from tesseract_core.runtime.paths import safe_run_id
from tesseract_core.runtime.serve import errors, guards
from tesseract_core.runtime.serve.asgi import ASGIApp, Receive, Scope, Send, header, send_reply
from tesseract_core.runtime.serve.bodies import MIN_PROGRESS, Bodies, BodyTooLarge, ClientLeft, GivenUp, NoRoom, Why
from tesseract_core.runtime.serve.dispatch import ComputeDied, Dispatcher, QueueFull
from tesseract_core.runtime.serve.messages import Reply, RequestHead
from tesseract_core.runtime.serve.origins import check_origin
from tesseract_core.runtime.serve.queue import Message

RUN_ID_HEADER = "tesseract-run-id"
_DOCS = Path(__file__).parent / "docs"
_DOCS_FILES = {
    "/docs": ("index.html", "text/html; charset=utf-8"),
    "/docs/examples.js": ("examples.js", "text/javascript; charset=utf-8"),
    "/docs/start.js": ("start.js", "text/javascript; charset=utf-8"),
    "/docs/swagger-ui-bundle.js": ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "/docs/swagger-ui.css": ("swagger-ui.css", "text/css; charset=utf-8"),
    "/docs/favicon.png": ("favicon.png", "image/png"),
}
# The page must work without a network and must not tell anybody about it: nothing but this server is contacted.
_DOCS_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
# So much of a refused body is read and dropped, until the client pauses for so long.
_MAX_DISCARDED = 64 * 1024**2
_MAX_PAUSE_S = 1
_CLOSE = {"connection": "close"}
_LATER = {"retry-after": "1"}


@dataclass(frozen=True)
class Policy:
    """Who may call, and how much they may send.

    No `host_names` means that neither the Host header nor the origin of web pages is checked. Pages of
    `allowed_origins` may call in any case, and read what they get.
    """

    max_body_size: int
    host_names: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    token: str = ""


class _App(Litestar):
    @staticmethod
    def _get_default_plugins(plugins: list[Any]) -> list[Any]:
        # They convert arguments of handlers, and ours take none. With them comes pydantic 1: a twelfth of a start.
        return plugins


def build_app(
    dispatcher: Dispatcher, document: bytes, endpoints: Iterable[str], policy: Policy, bodies: Bodies
) -> ASGIApp:
    """Return the ASGI application that offers `endpoints` through `dispatcher` and serves `document`.

    Bodies are read by `bodies`, whose limit is that of `policy`.
    """
    fixed = {
        "/health": Reply(200, b'{"status":"ok"}'),
        "/openapi.json": Reply(200, document),
    }
    get, post = ("GET", "HEAD"), ("POST",)
    routes = dict.fromkeys((*fixed, *_DOCS_FILES), get) | {f"/{name}": post for name in endpoints}
    litestar = _App(
        route_handlers=[
            *(_fixed_route(path, reply) for path, reply in fixed.items()),
            *(_docs_route(path, *file) for path, file in _DOCS_FILES.items()),
            *(_endpoint_route(name, dispatcher, bodies) for name in endpoints),
        ],
        openapi_config=None,
        logging_config=None,
        exception_handlers={Exception: _internal_error},
    )
    app = guards.known_routes(cast(ASGIApp, litestar), routes)
    if policy.token:
        # Probes carry no token, and a browser cannot send one for a page: neither says anything about the Tesseract.
        app = guards.require_token(app, policy.token, public=("/health", *_DOCS_FILES))
    if policy.host_names or policy.allowed_origins:
        # Before the token: a browser asks without one whether the page may send it.
        app = check_origin(app, policy.allowed_origins, refuse=bool(policy.host_names))
    if policy.host_names:
        app = guards.check_host(app, policy.host_names)
    return app


def _fixed_route(path: str, reply: Reply) -> ASGIRouteHandler:
    @asgi(path, copy_scope=False)
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        await send_reply(send, reply)

    return handle


def _docs_route(path: str, file: str, media_type: str) -> ASGIRouteHandler:
    headers = {"content-security-policy": _DOCS_POLICY, "cache-control": "no-cache"}

    @functools.cache
    def load() -> Reply:
        return Reply(200, (_DOCS / file).read_bytes(), media_type, headers)

    @asgi(path, copy_scope=False)
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        await send_reply(send, load())

    return handle


def _endpoint_route(name: str, dispatcher: Dispatcher, bodies: Bodies) -> ASGIRouteHandler:
    @asgi(f"/{name}", copy_scope=False)
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        given = _query_run_id(scope["query_string"])
        try:
            run_id = str(uuid.uuid4()) if given is None else safe_run_id(given)
        except ValueError as error:
            return await send_reply(send, errors.invalid_run_id(str(given), str(error)))
        head = RequestHead(name, run_id, given is not None, header(scope, b"content-type"), header(scope, b"accept"))
        try:
            upload = await bodies.read(scope, receive, Message(head.encode()))
        except ClientLeft:  # it may still be there to be told
            return await send_reply(send, errors.detail(400, "The request body is incomplete", _CLOSE))
        except (BodyTooLarge, NoRoom, GivenUp) as error:
            refusal = _refusal(error, bodies)
            if not isinstance(error, GivenUp):
                await _discard_body(scope, receive)
            return await send_reply(send, refusal)
        try:
            left = functools.partial(_client_left, receive)
            reply = await dispatcher.dispatch(upload.request, left, upload.release)
        except QueueFull:
            message = "Too many requests are waiting (TESSERACT_MAX_QUEUE); try again later"
            return await send_reply(send, errors.detail(503, message, _LATER))
        except ComputeDied:
            how = await dispatcher.how_it_died(run_id) or "the server's log tells how"
            message = (
                f"The process that computed this request died ({how}). It is replaced, other requests are not affected"
            )
            return await send_reply(send, errors.detail(503, message, {RUN_ID_HEADER: run_id}))
        finally:
            upload.release()
        if reply is not None:
            await _stream(send, reply, run_id)
        return None

    return handle


def _refusal(error: BodyTooLarge | NoRoom | GivenUp, bodies: Bodies) -> Reply:
    limit = bodies.budget.limit
    match error:
        case BodyTooLarge():
            message = f"The request body exceeds the limit of {limit} bytes (TESSERACT_MAX_BODY_SIZE)"
            return errors.detail(413, message, _CLOSE)
        case NoRoom():
            message = (
                f"The bodies of other requests leave too little of the {limit} bytes that the server has for bodies "
                "(TESSERACT_MAX_BODY_SIZE); try again later"
            )
            return errors.detail(503, message, _CLOSE | _LATER)
        case GivenUp(why=Why.STALLED):
            message = (
                f"Less than {MIN_PROGRESS} bytes of the request body arrived in {bodies.min_speed_s:g} s "
                "(TESSERACT_BODY_TIMEOUT)"
            )
            return errors.detail(408, message, _CLOSE)
        case GivenUp(why=Why.CROWDED):
            return errors.detail(503, "Too many connections are open; try again later", _CLOSE | _LATER)
        case _:
            return errors.detail(503, "The server stops", _CLOSE)


def _query_run_id(query_string: bytes) -> str | None:
    if b"run_id" not in query_string:
        return None
    values = parse_qs(query_string.decode("latin-1"), keep_blank_values=True).get("run_id")
    return values[-1] if values else None


async def _discard_body(scope: Scope, receive: Receive) -> None:
    """Read on for a while: a client that is still sending reads no answer, and would find its connection reset."""
    if header(scope, b"expect"):  # it waits for leave to send
        return
    discarded = 0
    with contextlib.suppress(TimeoutError):
        while discarded < _MAX_DISCARDED:
            async with asyncio.timeout(_MAX_PAUSE_S):
                message = await receive()
            if message["type"] != "http.request" or not message.get("more_body"):
                break
            discarded += len(message.get("body", b""))


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stream(send: Send, reply: Message, run_id: str) -> None:
    """Send a reply in pieces; granian moves `bytes` three times faster than other buffers."""
    try:
        status, content_type, headers = orjson.loads(reply.head())
        headers = {
            "content-type": content_type,
            "content-length": str(reply.body_size),
            RUN_ID_HEADER: run_id,
            **headers,
        }
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        left = reply.body_size
        for chunk in reply.body_chunks():
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
    finally:
        reply.close()


def _internal_error(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    """A fault of ours: the traceback goes to the log, the client learns no more than that."""
    traceback.print_exception(error)
    return Response(HTTPStatus.INTERNAL_SERVER_ERROR.phrase, status_code=500, media_type="text/plain; charset=utf-8")
