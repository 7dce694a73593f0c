"""The endpoints as an ASGI application in this process, without a server: for tests, notebooks and other servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import orjson

from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.serve import guards
from tesseract_core.runtime.serve.asgi import ASGIApp, Receive, Scope, Send
from tesseract_core.runtime.serve.bodies import Bodies, Budget
from tesseract_core.runtime.serve.dispatch import Dispatcher
from tesseract_core.runtime.serve.handler import Handler
from tesseract_core.runtime.serve.http_app import Policy, build_app
from tesseract_core.runtime.serve.queue import Message
from tesseract_core.runtime.trust import closed_process


class ThreadDispatcher(Dispatcher):
    """Runs endpoints in a single thread of this process, so that user code is never re-entered."""

    def __init__(self, handler: Handler, max_pending: int) -> None:
        super().__init__(max_pending)
        self._handler = handler
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tesseract")

    def submit(self, request: Message, taken: Callable[[], None]) -> asyncio.Future[Message]:
        return asyncio.get_running_loop().run_in_executor(self._thread, self._handler.answer, request)


class RestApi:
    """The endpoints of one module, as an ASGI application."""

    def __init__(self, app: ASGIApp, document: bytes) -> None:
        self._app = app
        self._document = document

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # From a server's start of the application to its end: user code may start threads and children. Without a
        # server, only what a call itself reads is closed.
        with closed_process() if scope["type"] == "lifespan" else nullcontext():
            await self._app(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, as `/openapi.json` has it."""
        return dict(orjson.loads(self._document))


def create_rest_api(api_module: ModuleType) -> RestApi:
    """Return an ASGI application that runs the endpoints of `api_module` in this process."""
    config = get_config()
    handler = Handler(api_module)
    policy = Policy(
        max_body_size=guards.body_limit(config.max_body_size),
        host_names=() if "*" in config.allowed_hosts else config.allowed_hosts,
        allowed_origins=config.allowed_origins,
        token=config.token,
    )
    dispatcher = ThreadDispatcher(handler, max_pending=config.max_queue + 1)
    bodies = Bodies(Budget(policy.max_body_size), config.body_timeout)
    app = build_app(dispatcher, handler.document, handler.endpoints, policy, bodies)
    return RestApi(app, handler.document)
