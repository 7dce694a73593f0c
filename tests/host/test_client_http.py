"""The HTTP transport against small servers that behave as real ones sometimes do."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any
from urllib.parse import quote

import pytest
import requests
from tesseract_core import Tesseract
from tesseract_core.client.http import HttpTransport, clean_url

pytestmark = pytest.mark.fast


class Echo(BaseHTTPRequestHandler):
    """Answers every request with what it was; closes connections without a word where the query says so."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(self.path)
        if self.path.startswith("/abort"):
            self.connection.close()
            self.close_connection = True
            return
        if self.path.startswith("/slow"):
            self.server.release.wait(30)
        text = {"path": self.path, "headers": dict(self.headers), "body": json.loads(body or b"null")}
        answer = json.dumps(text).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        if self.path.startswith("/drop"):
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "client"


class EchoServer(ThreadingHTTPServer):
    """Remembers the paths of requests, and how many connections it has closed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: list[str] = []
        self.release = threading.Event()
        self.closed = threading.Semaphore(0)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.closed.release()


class UnixEchoHandler(Echo):
    disable_nagle_algorithm = False  # a matter of TCP


class UnixEcho(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with EchoServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.release.set()
        server.shutdown()


@pytest.fixture
def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("given", "cleaned"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://h:1/prefix/?q=1#f", "http://h:1/prefix"),
        ("https://h/a;params", "https://h/a"),
        ("http+unix://%2Frun%2Fx.sock/", "http+unix://%2Frun%2Fx.sock"),
    ],
)
def test_urls_are_cleaned(given: str, cleaned: str) -> None:
    assert clean_url(given) == cleaned


def test_other_schemes_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="ftp://x"):
        Tesseract.from_url("ftp://x")


def test_an_address_without_a_host_is_refused_at_once() -> None:
    for nowhere in ("", "http://", "http:///path"):
        with pytest.raises(ValueError, match="names no host"):
            Tesseract.from_url(nowhere)
    with pytest.raises(TypeError, match=r"None: expected http://HOST:PORT"):
        Tesseract.from_url(None)


def test_requests_carry_run_id_encoding_and_token(url: str) -> None:
    tesseract = Tesseract.from_url(f"{url}/prefix/", token="secret")
    seen = tesseract.apply({"x": 1}, run_id="a b")
    assert seen["path"] == "/prefix/apply?run_id=a+b"
    assert seen["body"] == {"inputs": {"x": 1}}
    assert seen["headers"]["Content-Type"] == "application/json"
    assert seen["headers"]["Authorization"] == "Bearer secret"


def test_environment_proxies_and_netrc_do_not_touch_loopback(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hidden\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert "Authorization" not in HttpTransport(url).call("health")["headers"]


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(url: str, server: EchoServer) -> None:
    transport = HttpTransport(url)
    for _ in range(3):
        transport.call("drop")
        assert server.closed.acquire(timeout=10)
    assert len(server.seen) == 3


def test_nothing_is_ever_sent_twice(url: str, server: ThreadingHTTPServer) -> None:
    with pytest.raises(requests.exceptions.ConnectionError):
        HttpTransport(url).call("abort", {"x": 1})
    assert server.seen == ["/abort"]


def test_nobody_there_is_a_connection_error() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(requests.exceptions.ConnectionError):
            HttpTransport(f"http://127.0.0.1:{closed.getsockname()[1]}").call("health")


@pytest.mark.parametrize("timeout", [0.05, (5, 0.05)])
def test_timeouts_are_for_one_attempt(url: str, server: ThreadingHTTPServer, timeout: float) -> None:
    with pytest.raises(requests.exceptions.Timeout):
        HttpTransport(url, timeout=timeout).call("slow")
    assert server.seen == ["/slow"]


def test_many_threads_share_one_object(url: str) -> None:
    tesseract = Tesseract.from_url(url)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: tesseract.apply({"x": i})["body"]["inputs"]["x"], range(320)))
    assert answers == list(range(320))


@pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")
def test_unix_sockets(tmp_path: Path) -> None:
    path = str(tmp_path / "a b.sock")
    with UnixEcho(path, UnixEchoHandler) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        with Tesseract.from_url(f"http+unix://{quote(path, safe='')}") as tesseract:
            assert tesseract.apply({"x": 1})["headers"]["Host"] == "localhost"
            assert tesseract.apply({"x": 2})["body"] == {"inputs": {"x": 2}}
        assert tesseract.health()["path"] == "/health"  # closed, and opened again
        server.shutdown()
    with pytest.raises(requests.exceptions.ConnectionError, match=r"no\.sock"):
        HttpTransport(f"http+unix://{quote(str(tmp_path / 'no.sock'), safe='')}").call("health")
