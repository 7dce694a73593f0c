"""What may stand in front of a server: a proxy on loopback that a test tells what to do with each request."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Proxy(http.server.BaseHTTPRequestHandler):
    """One request. The function that is given to `proxy` calls one of the methods below."""

    protocol_version = "HTTP/1.1"
    port = 0
    handle_request: Callable[[Proxy], None]

    def forward(self, *, delay: float = 0.0, silently: bool = False) -> None:
        """Pass the request on; its answer, too, after a delay, unless `silently`."""
        server = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
            if "chunked" in headers.pop("Transfer-Encoding", ""):
                body = b"".join(self._chunks())
                headers["Content-Length"] = str(len(body))
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            content = answer.read()
        finally:
            server.close()
        time.sleep(delay)
        if not silently:
            self.reply(answer.status, content, answer.headers.get("Content-Type", "text/plain"))

    def reply(self, status: int, content: bytes, media_type: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def hang_up(self) -> None:
        """End the connection without an answer."""
        self.close_connection = True

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _handle(self) -> None:
        type(self).handle_request(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def proxy(port: int, handle: Callable[[Proxy], None]) -> Iterator[str]:
    """Listen in front of a server at `port` of loopback; yields the URL."""
    handler = type("Handler", (Proxy,), {"port": port, "handle_request": staticmethod(handle)})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
