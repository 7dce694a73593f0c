"""Which MLflow server the configuration means, and whether it answers. Nothing here prints a password."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from tesseract_core.runtime.config import env_name

USERNAME, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
_URI = env_name("mlflow_tracking_uri")
_HINT = f"unset {_URI} to log to files instead"

CHECK_TIMEOUT = 5.0  # seconds
_CHECK_LASTS = 60.0  # seconds for which an answer counts
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
        """`text` in one line without the password."""
        line = " ".join(str(text).split())
        return line.replace(self.password, "***") if self.password else line


def find_server(uri: str) -> Server:
    """Complete a tracking URI and find its credentials.

    Args:
        uri: `http(s)://[user:password@]host[:port][/path]`. Without scheme, this machine gets http, any other https.

    Raises:
        ValueError: The scheme is not http or https, or no host is named.
        RuntimeError: There is a user name without a password, or the other way round.
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
    if bool(username) != bool(password):
        given, missing = (USERNAME, PASSWORD) if username else (PASSWORD, USERNAME)
        raise RuntimeError(f"{given} is set but {missing} is not; set both or neither")
    return Server(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), username, password)


def require_answer(server: Server) -> None:
    """Check that the server answers; a good answer counts for a minute.

    Raises:
        RuntimeError: It cannot be reached, or answers with an error.
    """
    if time.monotonic() < _answered.get(server, 0.0):
        return
    import requests

    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"1", "true"}
    try:
        response = requests.get(
            server.uri,
            timeout=CHECK_TIMEOUT,
            auth=(server.username, server.password) if server.username else None,
            verify=not insecure and (os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True),
            stream=True,
        )
    except requests.RequestException as error:
        reason = server.redact(error)
        raise RuntimeError(f"no MLflow server answers at {server.uri} ({reason}); correct {_URI}, or {_HINT}") from None
    with response:
        if not response.ok:
            raise RuntimeError(
                f"the MLflow server at {server.uri} answered {response.status_code} {response.reason}; "
                f"check {_URI}, {USERNAME} and {PASSWORD}, or {_HINT}"
            )
    _answered[server] = time.monotonic() + _CHECK_LASTS


def forget_answer(server: Server) -> None:
    """Check again at the next run: the server has just failed."""
    _answered.pop(server, None)
