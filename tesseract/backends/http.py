"""Requests to a container engine's REST API: bounded in time, with our errors only. Each driver brings its transport.

Every request opens its own connection (a Unix socket costs 50 µs): an engine that is gone is then seen before anything
was sent, so that nobody has to ask whether a request had happened already.
"""

from __future__ import annotations

import json
import logging
import socket
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.client import RemoteDisconnected
from typing import Any

from tesseract.backends.refusals import engine_error
from tesseract.deadline import Deadline
from tesseract.errors import EngineError, EngineTimeout, EngineUnavailable

logger = logging.getLogger("tesseract.backends")

DEFAULT_TIMEOUT = 60.0
CONNECT_TIMEOUT = 10.0

Response = Any  # of requests, which is imported only when an engine is spoken to


class Answer:
    """An answer of the engine, to be read while it comes. What goes wrong while reading comes out as our errors."""

    def __init__(self, response: Response, boundary: Callable[[], AbstractContextManager[None]]) -> None:
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


class EngineApi:
    """A connection to one engine.

    Args:
        engine: Its name, for messages.
        url: Where it is, for messages.
        why: How that was found, for messages.
    """

    def __init__(self, engine: str, url: str, why: str) -> None:
        self.engine = engine
        self.url = url
        self.why = why

    def close(self) -> None:
        """Give back connections."""

    def check_alive(self) -> None:
        """Called when a stream has ended. Raises EngineUnavailable if it was the engine that ended."""

    def _send(
        self, method: str, path: str, params: Mapping[str, str], body: bytes | None, limits: tuple[float, float | None]
    ) -> Response:
        """Send one request over a connection of its own; the answer's body is not read yet.

        Args:
            limits: Seconds for connecting and for each read (None: no limit).
        """
        raise NotImplementedError

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
            body: Sent as JSON, or as it is if it is bytes.
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
                raise engine_error(self.engine, f"unreadable answer to {method} {path}: {text[:200]!r}") from exc

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
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            limits = (min(CONNECT_TIMEOUT, seconds or CONNECT_TIMEOUT), seconds)
            response = self._send(method, path, _query(params), data, limits)
        try:
            answer = Answer(response, boundary)
            if answer.status >= 400 and answer.status not in accept:
                raise engine_error(self.engine, _said(answer.rest()), answer.status)
            yield answer
        finally:
            response.close()

    @contextmanager
    def _boundary(self, what: str, seconds: float | None) -> Iterator[None]:
        """Where errors of the bindings, requests and the socket become ours."""
        from requests import exceptions as http
        from urllib3 import exceptions as low

        timeouts = (http.Timeout, low.TimeoutError, TimeoutError)
        try:
            yield
        except EngineError:
            raise
        except (http.RequestException, low.HTTPError, OSError) as exc:
            causes = list(_causes(exc))
            if never_connected(exc):  # first: urllib3 counts a refused connection among its timeouts
                raise EngineUnavailable(_no_answer(self.engine, self.url, self.why, causes)) from exc
            if any(isinstance(cause, timeouts) for cause in causes):
                limit = f" within {seconds:.3g} s" if seconds is not None else ""
                raise EngineTimeout(
                    f"{self.engine} did not answer{limit} ({what}). Check it with '{self.engine.lower()} ps'."
                ) from exc
            if any(isinstance(cause, (http.ConnectionError, low.ProtocolError, ConnectionError)) for cause in causes):
                raise ConnectionLost(
                    f"The connection to {self.engine} at {self.url} was lost during {what}. Try again."
                ) from exc
            raise engine_error(self.engine, str(causes[-1])) from exc


class ConnectionLost(EngineUnavailable):
    """The engine hung up on a request; whether it did what was asked is unknown."""


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


def never_connected(exc: BaseException) -> bool:
    """Whether a request failed before anything of it was sent."""
    kinds = (FileNotFoundError, ConnectionRefusedError, PermissionError, socket.gaierror)
    return any(isinstance(cause, kinds) for cause in _causes(exc))


def hung_up(exc: BaseException) -> bool:
    """Whether a request failed because the other side closed the connection, answering nothing."""
    return any(isinstance(cause, ConnectionResetError | BrokenPipeError | RemoteDisconnected) for cause in _causes(exc))


def _no_answer(engine: str, url: str, why: str, causes: Iterable[BaseException]) -> str:
    if any(isinstance(cause, PermissionError) for cause in causes):
        return f"You may not use {engine} at {url} ({why}): permission denied. Join the socket's group."
    return f"{engine} does not answer at {url} ({why}). Check it with '{engine.lower()} info'."
