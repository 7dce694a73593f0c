"""A package host that wants a login: an index and git repositories over TLS, with a certificate of its own."""

from __future__ import annotations

import base64
import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.stores import Quiet


@dataclass(frozen=True)
class PrivateHost:
    """A running host. `certificate` is what its clients must trust, `fetched` the paths that it gave to them."""

    address: str
    certificate: Path
    fetched: list[str]

    @property
    def url(self) -> str:
        return f"https://{self.address}"


class _Handler(Quiet):
    """Files for those who log in."""

    def __init__(self, *args: object, login: str, fetched: list[str], **kwargs: object) -> None:
        self._login, self._fetched = "Basic " + base64.b64encode(login.encode()).decode(), fetched
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def do_GET(self) -> None:  # noqa: N802
        if self.headers.get("Authorization") == self._login:
            self._fetched.append(self.path)
            return super().do_GET()
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="private"')
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def private_host(folder: Path, login: str, scratch: Path) -> Iterator[PrivateHost]:
    """Serve a folder on loopback to who sends `login` (`user:password`); the certificate goes to `scratch`."""
    key, certificate, fetched = scratch / "key.pem", scratch / "certificate.pem", []
    words = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    words += ["-subj", "/CN=private", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = partial(_Handler, login=login, fetched=fetched, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield PrivateHost(f"127.0.0.1:{server.server_port}", certificate, fetched)
    finally:
        server.shutdown()
        server.server_close()
