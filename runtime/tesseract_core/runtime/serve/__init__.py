"""The HTTP server of a Tesseract. See `supervisor` for how its processes fit together.

Importing this package is cheap: the web stack is loaded by the first call.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tesseract_core.runtime.serve.inprocess import RestApi

__all__ = ["create_rest_api", "serve"]


def create_rest_api(api_module: ModuleType) -> RestApi:
    """Return an ASGI application that runs the endpoints of `api_module` in this process, one call at a time.

    Its method `openapi()` returns the OpenAPI document.

    Raises what `tesseract_core.runtime.core.create_endpoints` raises for a module that is no Tesseract.
    """
    from tesseract_core.runtime.serve.inprocess import create_rest_api

    return create_rest_api(api_module)


def serve(
    host: str = "127.0.0.1",
    port: int = 8000,
    num_workers: int = 1,
    uds: str | Path | None = None,
    *,
    parent_pipe_fd: int | None = None,
) -> None:
    """Serve the Tesseract that the configuration names over HTTP, until SIGTERM or SIGINT.

    Args:
        host: Name or address to listen on.
        port: TCP port; 0 takes a free one.
        num_workers: How many calls may run at the same time, each in a process of its own.
        uds: Path of a Unix socket to listen on instead of `host` and `port`.
        parent_pipe_fd: Stop when this pipe reaches its end, because the process that holds the other end has died.

    Raises:
        SystemExit: With status 3 if the address cannot be listened on, 1 if the Tesseract cannot be loaded or its
            processes keep dying. After a signal the server drains, and the function returns.
    """
    from tesseract_core.runtime.serve.address import Address
    from tesseract_core.runtime.serve.supervisor import Supervisor

    address = Address(host, port, Path(uds).absolute() if uds else None)
    status = Supervisor(address, num_workers, parent_pipe_fd).run()
    if status:
        raise SystemExit(status)
