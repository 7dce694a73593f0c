"""Which MLflow server is meant, whether it can be reached, and what it says. Nothing here prints a password."""

from __future__ import annotations

import http.client
import os
import re
import time
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from tesseract_core.runtime.config import env_name

USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
TOKEN = "MLFLOW_TRACKING_TOKEN"
_URI = env_name("mlflow_tracking_uri")
_HINT = f"unset {_URI} to log to files instead"

CHECK_TIMEOUT = 5.0  # seconds
_CHECK_LASTS = 60.0  # seconds for which an answer counts
_LONGEST = 400  # characters of what a server says
_STATUS = re.compile(
    r"failed with error code (?P<status>\d{3}) != \d{3}(?:\. Response body: '?(?P<body>.*?)'?$)?", re.DOTALL
)
_answered: dict[Server, float] = {}


@dataclass(frozen=True)
class Server:
    """An MLflow tracking server.

    Attributes:
        uri: With scheme, without credentials: safe to show.
        username: Of its basic auth, or empty.
        password: Likewise.
    """

    uri: str
    username: str = ""
    password: str = field(default="", repr=False)

    def redact(self, text: object) -> str:
        """`text` in one line without password and token."""
        line = " ".join(str(text).split())
        for secret in (self.password, os.environ.get(PASSWORD), os.environ.get(TOKEN)):
            line = line.replace(secret, "***") if secret else line
        return line

    def quote(self, error: BaseException | None) -> str:
        """What an exception of MLflow's client says, in the server's own words: `answered 403 Forbidden: …`."""
        line = self.redact(error or "no answer")
        status = None if error is None else status_of(error)
        if status is not None:
            words = (match["body"] or "").strip() if (match := _STATUS.search(line)) else line
            line = f"answered {status} {http.client.responses.get(status, '')}".rstrip() + (
                f": {words}" if words else ""
            )
        return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def find_server(uri: str) -> Server:
    """Complete a tracking URI and find its credentials.

    Args:
        uri: `http(s)://[user:password@]host[:port][/path]`. Without scheme, this machine gets http, any other https.

    Raises:
        ValueError: The scheme is not http or https, or no host is named.
        RuntimeError: There is a user name without a password, or the other way round, and no other credentials.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):(?!\d+(?:/|$))", uri)
    if scheme is None:
        local = re.match(r"(localhost|127\.[\d.]+|\[::1\])(?=[:/]|$)", uri)
        uri = f"{'http' if local else 'https'}://{uri}"
    elif scheme[1].lower() not in {"http", "https"}:
        raise ValueError(f"{_URI} has the scheme {scheme[1]!r}; give an MLflow server as http://... or https://...")
    parts = urlsplit(uri)
    if not parts.hostname:
        raise ValueError(f"{_URI} names no host; give an MLflow server as http://... or https://...")
    username = os.environ.get(USERNAME) or unquote(parts.username or "")
    password = os.environ.get(PASSWORD) or unquote(parts.password or "")
    # MLflow takes what is missing from its own file, and neither where there is a token.
    elsewhere = os.environ.get(TOKEN) or os.path.exists(os.path.expanduser("~/.mlflow/credentials"))
    if bool(username) != bool(password) and not elsewhere:
        given, missing = (USERNAME, PASSWORD) if username else (PASSWORD, USERNAME)
        raise RuntimeError(f"{given} is set but {missing} is not; set both or neither")
    return Server(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), username, password)


def require_connection(server: Server) -> None:
    """Check that something listens there; that counts for a minute. What it answers is for MLflow's client to judge.

    Raises:
        RuntimeError: No connection comes about.
    """
    if time.monotonic() < _answered.get(server, 0.0):
        return
    import requests

    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"1", "true"}
    try:
        requests.get(
            server.uri,
            timeout=CHECK_TIMEOUT,
            verify=not insecure and (os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True),
            cert=os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"),
            allow_redirects=False,
            stream=True,
        ).close()
    except OSError as error:  # of requests, too
        if _has_connected(error):
            return
        reason = server.redact(error)
        raise RuntimeError(f"no MLflow server answers at {server.uri} ({reason}); correct {_URI}, or {_HINT}") from None
    _answered[server] = time.monotonic() + _CHECK_LASTS


def forget_answer(server: Server) -> None:
    """Check again at the next run: the server has just failed."""
    _answered.pop(server, None)


def _has_connected(error: Exception) -> bool:
    """Whether a request failed only after the connection was there: no answer in time, or one that is none."""
    import requests
    from urllib3.exceptions import ProtocolError

    if isinstance(error, requests.ReadTimeout | requests.exceptions.ChunkedEncodingError):
        return True
    return isinstance(error, requests.ConnectionError) and isinstance(next(iter(error.args), None), ProtocolError)


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an exception of MLflow's client; None if no answer came, or it is another exception."""
    if match := _STATUS.search(str(error)):
        return int(match["status"])
    if type(error).__name__ == "RestException":  # only made of an answer
        return int(error.get_http_status_code())  # type: ignore[attr-defined]
    return None
