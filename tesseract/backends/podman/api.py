"""Podman's libpod API by podman-py's client."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tesseract.backends.http import EngineApi, Response, hung_up, never_connected
from tesseract.backends.podman import service
from tesseract.backends.podman.endpoint import Endpoint
from tesseract.backends.podman.ping import ping
from tesseract.errors import EngineError, EngineUnavailable

if TYPE_CHECKING:
    from podman.api.client import APIClient

logger = logging.getLogger("tesseract.podman")

# The oldest version of the API that all supported engines speak: newer ones answer in the old shapes.
API_VERSION = "4.0.0"


class PodmanApi(EngineApi):
    """A connection to one endpoint.

    Args:
        endpoint: Where to connect; a private service is started, and started again, on demand.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__("Podman", endpoint.url, endpoint.why)
        self.endpoint = endpoint
        self._client: APIClient | None = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def check_alive(self) -> None:
        # The private service would be started again at the next request, and nobody would notice the lost output.
        if self.endpoint.socket is not None and ping(self.url, 5.0) is None:
            raise EngineUnavailable(
                f"The connection to Podman at {self.url} was lost while a container ran. Try again."
            )

    def _send(
        self, method: str, path: str, params: Mapping[str, str], body: bytes | None, limits: tuple[float, float | None]
    ) -> Response:
        headers = {"Connection": "close", **({"Content-Type": "application/json"} if body is not None else {})}
        send = getattr(self._connected(), method.lower())
        from podman.errors import APIError  # derives from requests' errors, so the boundary knows it

        options = {"params": params, "data": body, "headers": headers, "timeout": limits, "stream": True}
        try:
            return send(path, **options)
        except APIError as exc:
            again = never_connected(exc) or (_harmless_twice(method, path) and hung_up(exc))
            if not self.endpoint.private or not again:
                raise
            logger.debug("the service at %s is gone: starting it again", self.url)
            service.ensure(self.endpoint, limits[1])
            return send(path, **options)

    def _connected(self) -> APIClient:
        if self._client is None:
            with _without_progress_bars():
                from podman.api.client import APIClient

            try:
                self._client = APIClient(base_url=self.endpoint.reached_at(), version=API_VERSION)
            except ValueError as exc:
                raise EngineUnavailable(
                    f"'{self.url}' ({self.why}) is no address of a Podman service, such as unix:///PATH: {exc}."
                ) from exc
        return self._client


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """podman-py imports rich for bars that we never show, which takes longer than the rest of it; it can do without."""
    if "rich.progress" in sys.modules:
        yield
        return
    sys.modules["rich.progress"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["rich.progress"]


def _harmless_twice(method: str, path: str) -> bool:
    """Whether a request may be repeated although it may have been carried out."""
    return method in ("GET", "DELETE") or path.endswith("/start")


def remote_version(url: str, timeout: float) -> str | None:
    """Version of the Podman that answers at a tcp or ssh URL, or None."""
    api = PodmanApi(Endpoint(url, "asked for"))
    try:
        with api.stream("GET", "/_ping", timeout=timeout) as answer:
            return str(answer.headers.get("Libpod-API-Version") or "") or None
    except EngineError as exc:
        logger.debug("%s", exc)
        return None
    finally:
        api.close()
