"""Transport over HTTP, through TCP (`http://`, `https://`) or a Unix socket (`http+unix://<percent-encoded path>`)."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlparse, urlunparse

import requests
from requests.auth import AuthBase
from urllib3.exceptions import MaxRetryError, NewConnectionError

from tesseract_core import framing
from tesseract_core.client import codec
from tesseract_core.client.encoding import Encoding
from tesseract_core.client.errors import error_from_response
from tesseract_core.client.logs import LogSink, LogTail
from tesseract_core.client.loopback import ADVICE, means_this_container
from tesseract_core.client.transport import COMPUTE_ENDPOINTS, Timeout, Transport
from tesseract_core.client.unix import UnixAdapter
from tesseract_core.redirects import Rule, requests_hook

_JSON = "application/json"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_POOL_SIZE = 64  # idle connections kept; more threads than that still work, their connections are just not reused


class HttpTransport(Transport):
    """Calls a server.

    Args:
        url: Base URL; `http://` is assumed where there is no scheme, and a path prefix is kept.
        timeout: Seconds for connecting and for each wait for data, or `(connect, read)`; None waits for ever.
        token: Sent as `Authorization: Bearer ...`.
        input_path: Directory that the server reads `binref` inputs from, as seen here.
        output_path: Directory that the server writes results and logs to, as seen here.
        redirects: Which redirects of the server are followed; any if not given.
        ending: Asked when the connection is lost: how the server ended, as a sentence, or nothing if it did not.

    Raises:
        RedirectRefused (a ValueError): at calls, if the server redirects to elsewhere.
        requests.exceptions.ConnectionError, requests.exceptions.Timeout: at calls, if there is no answer.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: Timeout = None,
        token: str | None = None,
        input_path: Path | None = None,
        output_path: Path | None = None,
        redirects: Rule | None = None,
        ending: Callable[[], str] | None = None,
    ) -> None:
        self.url = clean_url(url)
        self._redirects = redirects
        self._ending = ending
        self.input_path = input_path
        self.output_path = output_path
        self._timeout = timeout
        self._token = token
        self._session, self._process = self._new_session(), os.getpid()

    negotiates = True

    def call(
        self,
        endpoint: str,
        payload: Any = None,
        *,
        run_id: str | None = None,
        encoding: Encoding | None = None,
        log_sink: LogSink | None = None,
    ) -> Any:
        if endpoint == "health":
            return codec.parse(self._send("GET", "health"))
        encoding = encoding or Encoding()
        if endpoint not in COMPUTE_ENDPOINTS:
            accept = encoding.accept() if encoding.exact_numbers else "*/*"
            return codec.decode(self._send("POST", endpoint, codec.encode(payload), accept=accept))
        with contextlib.ExitStack() as stack:
            if log_sink is not None:
                run_id = run_id or str(uuid.uuid4())
                stack.enter_context(LogTail(self._log_file(run_id), log_sink, self.output_path))
            body, media_type = stack.enter_context(self._encoded(payload, encoding))
            answer = self._send(
                "POST", endpoint, body, run_id=run_id, accept=encoding.accept(), content_type=media_type
            )
        return codec.decode(answer, self.output_path)

    def openapi_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = codec.parse(self._send("GET", "openapi.json"))
        return schema

    def close(self) -> None:
        if self._process == os.getpid():
            self._session.close()

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        if self._token is not None:
            session.auth = _Bearer(self._token)
        if self._redirects is not None:
            session.hooks["response"].append(requests_hook(self._redirects))
        parts = urlparse(self.url)
        if parts.scheme == "http+unix":
            self._base = f"http://localhost{parts.path}"
            session.mount("http://", UnixAdapter(unquote(parts.netloc), pool_maxsize=_POOL_SIZE))
        else:
            self._base = self.url
            session.mount(f"{parts.scheme}://", requests.adapters.HTTPAdapter(pool_maxsize=_POOL_SIZE))
        # Proxies and netrc of the environment are for the outside world; on loopback they would break or slow calls.
        session.trust_env = parts.scheme != "http+unix" and parts.hostname not in _LOOPBACK
        return session

    def _log_file(self, run_id: str) -> Path:
        if self.output_path is None:
            raise ValueError("Logs can only be streamed where the server's output_path is visible here")
        return self.output_path / f"run_{run_id}" / "logs" / "tesseract.log"

    @contextlib.contextmanager
    def _encoded(self, payload: Any, encoding: Encoding) -> Iterator[tuple[bytes, str]]:
        """Body and media type of a request."""
        if encoding.output_format == framing.FORMAT:
            frame = codec.Frame()
            yield frame.body(codec.encode(payload, frame.data))
        elif encoding.output_format == "json+binref" and self.input_path is not None:
            file = codec.BinrefFile(self.input_path)
            try:
                yield codec.encode(payload, file.data), _JSON
            finally:
                file.delete()
        else:
            yield codec.encode(payload), _JSON

    def _send(
        self,
        method: str,
        route: str,
        body: bytes | None = None,
        *,
        run_id: str | None = None,
        accept: str = "*/*",
        content_type: str = _JSON,
    ) -> bytes:
        if self._process != os.getpid():
            # A forked child has the parent's open connections, too: with both using them, answers would be mixed up.
            self._session, self._process = self._new_session(), os.getpid()

        def send() -> requests.Response:
            return self._session.request(
                method,
                f"{self._base}/{route}",
                data=body,
                params=None if run_id is None else {"run_id": run_id},
                headers={"Accept": accept, "Content-Type": content_type},
                timeout=self._timeout,
            )

        try:
            response = send()
        except requests.exceptions.ConnectionError as error:
            if not _nothing_was_sent(error):
                self._tell(error)
            with _explained(self.url):
                try:
                    response = send()
                except requests.exceptions.ConnectionError as again:
                    self._tell(again)
        if response.status_code >= 400:
            raise error_from_response(route, response.status_code, response.content)
        return response.content

    def _tell(self, error: requests.exceptions.ConnectionError) -> NoReturn:
        """Raise the error, with how the server ended if it did."""
        if self._ending and (how := self._ending()):
            raise type(error)(f"{how} ({error})", request=error.request) from error
        raise error


def clean_url(url: str) -> str:
    """Add a missing scheme; drop query, fragment, parameters and trailing slashes.

    Raises:
        requests.exceptions.InvalidSchema (a ValueError): The scheme is not supported.
        requests.exceptions.InvalidURL (a ValueError): There is no host in it.
        TypeError: It is no text.
    """
    expected = "expected http://HOST:PORT, https://... or http+unix://<percent-encoded path>"
    if not isinstance(url, str):
        raise TypeError(f"Cannot talk to {url!r}: {expected}")
    parts = urlparse(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https", "http+unix"):
        raise requests.exceptions.InvalidSchema(f"Cannot talk to {url!r}: {expected}")
    if not parts.netloc:
        raise requests.exceptions.InvalidURL(f"Cannot talk to {url!r}, which names no host: {expected}")
    return urlunparse((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "", ""))


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Add what a user may not think of to the error of a server that cannot be reached."""
    try:
        yield
    except requests.exceptions.ConnectionError as error:
        if means_this_container(url):
            error.add_note(f"{url} is this container itself; {ADVICE}")
        raise


def _nothing_was_sent(error: requests.exceptions.ConnectionError) -> bool:
    """Whether no connection came about, so that asking again cannot run anything twice.

    A kept-alive connection that the server has closed in the meantime never gets here: urllib3 looks before it sends.
    An expired connect timeout is no reason to wait a second time.
    """
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


class _Bearer(AuthBase):
    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request
