"""Requests to Podman's libpod API, by podman-py's client: bounded in time, and with our errors only.

Every request opens its own connection (a Unix socket costs 50 µs): a service that ended while idle is then seen before
anything was sent, so that it can be started again and the request sent without asking whether it had happened already.
"""

from __future__ import annotations

import json
import logging
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tesseract.backends.podman import service
from tesseract.backends.podman.endpoint import Endpoint
from tesseract.backends.text import engine_error
from tesseract.deadline import Deadline
from tesseract.errors import EngineError, EngineTimeout, EngineUnavailable

if TYPE_CHECKING:
    from podman.api.client import APIClient, APIResponse

logger = logging.getLogger("tesseract.podman")

# The oldest version of the API that all supported engines speak: newer ones answer in the old shapes.
API_VERSION = "4.0.0"
DEFAULT_TIMEOUT = 60.0
_CONNECT_TIMEOUT = 10.0


class Answer:
    """An answer of the engine, to be read while it comes. What goes wrong while reading comes out as our errors."""

    def __init__(self, response: APIResponse, boundary: Callable[[], AbstractContextManager[None]]) -> None:
        self.status = int(response.status_code)
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._boundary = boundary

    def read(self, count: int) -> bytes:
        """Exactly `count` bytes, fewer only at the end."""
        parts: list[bytes] = []
        with self._boundary():
            while count > 0 and (part := self._response.raw.read(count)):
                parts.append(part)
                count -= len(part)
        return b"".join(parts)

    def rest(self) -> bytes:
        """All that follows."""
        with self._boundary():
            return bytes(self._response.content)


class Api:
    """A connection to one endpoint.

    Args:
        endpoint: Where to connect; a private service is started, and started again, on demand.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._client: APIClient | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        deadline: Deadline | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        accept: tuple[int, ...] = (),
    ) -> Any:
        """One request, one JSON answer (None where the body is empty).

        Args:
            params: Query; booleans become `true` and `false`.
            body: Sent as JSON.
            deadline: Budget of the caller.
            timeout: Upper bound in seconds, deadline or not; None for requests that may take for ever.
            accept: Statuses that count as success besides 2xx (`304` not modified, `404` gone already).

        Raises:
            EngineTimeout, EngineUnavailable, NotFound, APIError.
        """
        with self.stream(
            method, path, params=params, body=body, deadline=deadline, timeout=timeout, accept=accept
        ) as answer:
            if answer.status in accept:
                return None
            text = answer.rest()
            if not text.strip():
                return None
            try:
                return json.loads(text)
            except ValueError as exc:
                raise engine_error("Podman", f"unreadable answer to {method} {path}: {text[:200]!r}") from exc

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        deadline: Deadline | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        accept: tuple[int, ...] = (),
    ) -> Iterator[Answer]:
        """One request whose answer is read piece by piece. Arguments and errors as for `request`."""
        seconds = timeout if deadline is None else deadline.remaining(at_most=timeout)
        if seconds is not None and seconds <= 0:
            raise EngineTimeout(
                f"No time was left for the engine within the {deadline and deadline.seconds:g} s given."
            )
        boundary = partial(self._boundary, f"{method} {path}", seconds)
        with boundary():
            response = self._send(method, path, _query(params), body, seconds)
        try:
            answer = Answer(response, boundary)
            if answer.status >= 400 and answer.status not in accept:
                raise engine_error("Podman", _said(answer.rest()), answer.status)
            yield answer
        finally:
            response.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _send(self, method: str, path: str, params: Mapping[str, str], body: Any, seconds: float | None) -> APIResponse:
        from podman.errors import APIError as PodmanAPIError

        data = None if body is None else json.dumps(body)
        headers = {"Connection": "close", **({"Content-Type": "application/json"} if body is not None else {})}
        limits = (min(_CONNECT_TIMEOUT, seconds or _CONNECT_TIMEOUT), seconds)
        for attempt in (1, 2):
            try:
                client = self._connected()
                return getattr(client, method.lower())(
                    path, params=params, data=data, headers=headers, timeout=limits, stream=True
                )
            except PodmanAPIError as exc:
                if attempt == 2 or not self.endpoint.private or not _never_connected(exc):
                    raise
                logger.debug("the service at %s is gone: starting it again", self.endpoint.url)
                service.ensure(self.endpoint, seconds)
        raise AssertionError("unreachable")

    def _connected(self) -> APIClient:
        if self._client is None:
            from podman.api.client import APIClient

            self._client = APIClient(base_url=self.endpoint.url, version=API_VERSION)
        return self._client

    @contextmanager
    def _boundary(self, what: str, seconds: float | None) -> Iterator[None]:
        """Where errors of podman-py, requests and the socket become ours."""
        from podman.errors import PodmanError
        from requests import exceptions as http
        from urllib3 import exceptions as low

        timeouts = (http.Timeout, low.TimeoutError, TimeoutError)
        try:
            yield
        except EngineError:
            raise
        except (PodmanError, http.RequestException, low.HTTPError, OSError) as exc:
            causes = list(_causes(exc))
            if any(isinstance(cause, timeouts) for cause in causes):
                limit = f" within {seconds:.3g} s" if seconds is not None else ""
                raise EngineTimeout(f"Podman did not answer{limit} ({what}). Check it with 'podman ps'.") from exc
            if _never_connected(exc):
                raise EngineUnavailable(
                    f"Podman does not answer at {self.endpoint.url} ({self.endpoint.why}). Check it with 'podman info'."
                ) from exc
            if any(isinstance(cause, (http.ConnectionError, low.ProtocolError, ConnectionError)) for cause in causes):
                raise EngineUnavailable(
                    f"The connection to Podman at {self.endpoint.url} was lost during {what}. Try again."
                ) from exc
            raise engine_error("Podman", str(causes[-1])) from exc


def remote_version(url: str, timeout: float) -> str | None:
    """Version of the Podman that answers at a tcp or ssh URL, or None."""
    api = Api(Endpoint(url, "asked for"))
    try:
        with api.stream("GET", "/_ping", timeout=timeout) as answer:
            return str(answer.headers.get("Libpod-API-Version") or "") or None
    except EngineError as exc:
        logger.debug("%s", exc)
        return None
    finally:
        api.close()


def quote(name: str) -> str:
    """A name or reference as one segment of a path."""
    return urllib.parse.quote(name, safe="")


def _query(params: Mapping[str, Any] | None) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in (params or {}).items():
        if value is None:
            continue
        if isinstance(value, bool):
            query[name] = "true" if value else "false"
        else:
            query[name] = value if isinstance(value, str) else json.dumps(value)
    return query


def _said(content: bytes) -> str:
    """The reason in an error answer: `message` holds the whole chain, `cause` only its root."""
    try:
        body = json.loads(content)
        return str(body.get("message") or body.get("cause") or content.decode(errors="replace"))
    except (ValueError, AttributeError):
        return content.decode(errors="replace")


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        reason = getattr(exc, "reason", None)
        if isinstance(reason, BaseException):
            yield reason
        exc = exc.__cause__ or exc.__context__


def _never_connected(exc: BaseException) -> bool:
    return any(isinstance(cause, (FileNotFoundError, ConnectionRefusedError)) for cause in _causes(exc))
