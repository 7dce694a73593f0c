"""The endpoints as an ASGI application in this process, without a server: for tests, notebooks and other servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

from tesseract_core.runtime.config import get_config
from tesseract_core.runtime.serve import guards
from tesseract_core.runtime.serve.asgi import ASGIApp
from tesseract_core.runtime.serve.bodies import Bodies, Budget
from tesseract_core.runtime.serve.dispatch import Dispatcher
from tesseract_core.runtime.serve.handler import Handler
from tesseract_core.runtime.serve.http_app import Policy, build_app
from tesseract_core.runtime.serve.queue import Message


class ThreadDispatcher(Dispatcher):
    """Runs endpoints in a single thread of this process, so that user code is never re-entered."""

    def __init__(self, handler: Handler, max_pending: int) -> None:
        super().__init__(max_pending)
        self._handler = handler
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tesseract")

    def submit(self, request: Message, taken: Callable[[], None]) -> asyncio.Future[Message]:
        return asyncio.get_running_loop().run_in_executor(self._thread, self._handler.answer, request)


def create_rest_api(api_module: ModuleType) -> ASGIApp:
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
    return build_app(dispatcher, handler.document, handler.endpoints, policy, bodies)
