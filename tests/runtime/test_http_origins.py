"""Web pages of other sites that reach the server through a user's browser."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.browser import Page, chromium
from support.served import Answer, Served, served
from tesseract_core.authority import parse_authority, parse_origin

API = Path(__file__).parent / "apis" / "http_load.py"
CALL = {"inputs": {"how": "nothing"}}
LAB = "https://lab.example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(API, tmp_path_factory.mktemp("origins")) as running:
        yield running


@pytest.fixture(scope="module")
def open_to_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = ("--allowed-origin", LAB, "--allowed-origin", "null")
    env = {"TESSERACT_TOKEN": "s3cret"}
    with served(API, tmp_path_factory.mktemp("lab"), serve_options=options, env=env) as running:
        yield running


def apply_from(server: Served, origin: str, host: str | None = None) -> Answer:
    return server.post("/apply", CALL, {"Origin": origin} | ({"Host": host} if host else {}))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", ("localhost", None)),
        ("LocalHost.:8000", ("localhost", 8000)),
        ("[::1]:80", ("::1", 80)),
        ("[0:0::1]", ("::1", None)),
        ("10.1.2.3", ("10.1.2.3", None)),
        *[
            (wrong, None)
            for wrong in (
                *(
                    "[::1].evil",
                    "[::1]evil:80",
                    "[localhost]",
                    "[::1%evil]",
                    "[::1",
                    "::1",
                    "127.0.0.1@evil",
                    ":80",
                    "",
                ),
                *("localhost:evil", "localhost:80:80", "localhost/evil", "localhost,evil", "localhost, evil", "."),
            )
        ],
    ],
)
def test_hosts_are_read_strictly(text: str, expected: tuple[str, int | None] | None) -> None:
    assert parse_authority(text) == expected


@pytest.mark.fast
@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://localhost:8000", "localhost:8000", True),
        ("http://LOCALHOST:8000", "localhost.:8000", True),
        ("https://sim.example", "sim.example", True),
        ("https://sim.example", "sim.example:443", True),
        ("http://[::1]:9", "[0::1]:9", True),
        ("http://localhost:8888", "localhost:8000", False),
        ("http://localhost", "localhost:8000", False),
        ("http://127.0.0.1:8000", "localhost:8000", False),
        ("http://localhost.evil:8000", "localhost:8000", False),
    ],
)
def test_a_page_is_from_here_if_host_and_port_are_ours(origin: str, host: str, same: bool) -> None:
    page, here = parse_origin(origin), parse_authority(host)
    assert page is not None
    assert here is not None
    assert page.names(here) is same


@pytest.mark.fast
@pytest.mark.parametrize("text", ["null", "", "localhost:8000", "http://", "http://a b", "http://a, http://b", "://a"])
def test_what_is_no_origin(text: str) -> None:
    assert parse_origin(text) is None


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost:1",
        "https://evil.example:8000",
        "file://",
        "nonsense",
        "http://[::1].evil",
    ],
)
@pytest.mark.parametrize("path", ["/apply", "/health", "/openapi.json", "/docs", "/nothing"])
def test_pages_of_other_sites_are_refused(server: Served, origin: str, path: str) -> None:
    for answer in (server.get(path, {"Origin": origin}), server.post(path, CALL, {"Origin": origin})):
        assert answer.status == 403
        assert "--allowed-origin" in answer.json["detail"]
        assert "access-control-allow-origin" not in answer.headers


def test_a_page_of_another_port_of_this_machine_is_foreign(server: Served) -> None:
    assert apply_from(server, f"http://127.0.0.1:{server.port + 1}").status == 403
    assert apply_from(server, f"http://127.0.0.1:{server.port}").status == 200
    assert apply_from(server, f"http://localhost:{server.port}", f"localhost:{server.port}").status == 200


def test_a_second_origin_does_not_help(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        own = f"http://localhost:{server.port}"
        connection.sendall(
            f"GET /health HTTP/1.1\r\nHost: localhost:{server.port}\r\nOrigin: {own}\r\nOrigin: http://evil.example\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 403")


def test_the_refusal_does_not_wait_for_the_body(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(
            b"POST /apply HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 1000000\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 403")


def test_who_is_no_browser_sends_no_origin(server: Served) -> None:
    assert server.post("/apply", CALL).status == 200


def preflight(server: Served, origin: str) -> Answer:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return server.request("OPTIONS", "/apply", headers=asked)


def test_an_allowed_origin_may_ask_send_and_read(open_to_lab: Served) -> None:
    for origin in (LAB, "null"):
        answer = preflight(open_to_lab, origin)  # without the token, as browsers ask
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == origin
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "authorization" in answer.headers["access-control-allow-headers"]
        answer = open_to_lab.post("/apply", CALL, {"Origin": origin, "Authorization": "Bearer s3cret"})
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["vary"] == "Origin"
        assert apply_from(open_to_lab, origin).status == 401


@pytest.mark.parametrize(
    "origin", ["http://lab.example.org", "https://lab.example.org:8443", "https://x.lab.example.org"]
)
def test_allowing_one_origin_allows_no_other(open_to_lab: Served, origin: str) -> None:
    for answer in (preflight(open_to_lab, origin), apply_from(open_to_lab, origin)):
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers


def test_pages_from_here_get_no_more_than_before(open_to_lab: Served) -> None:
    own = f"http://127.0.0.1:{open_to_lab.port}"
    answer = open_to_lab.post("/apply", CALL, {"Origin": own, "Authorization": "Bearer s3cret"})
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers


def test_a_star_allows_every_page(tmp_path: Path) -> None:
    with served(API, tmp_path, env={"TESSERACT_ALLOWED_ORIGINS": "*"}) as server:
        for origin in ("http://evil.example", "null"):
            assert preflight(server, origin).status == 204
            answer = apply_from(server, origin)
            assert answer.status == 200
            assert answer.headers["access-control-allow-origin"] == "*"


def test_the_check_follows_the_list_of_hosts(tmp_path: Path) -> None:
    public = ("--host", "0.0.0.0")
    with served(API, tmp_path / "none", serve_options=public) as server:
        assert apply_from(server, "http://evil.example").status == 200
    with served(API, tmp_path / "list", serve_options=public, env={"TESSERACT_ALLOWED_HOSTS": "good"}) as server:
        assert apply_from(server, "http://evil.example").status == 403
        assert apply_from(server, "http://good", "good").status == 200


@contextmanager
def forwarded(port: int) -> Iterator[int]:
    """The same server under another port, byte for byte: `ssh -L`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pipe(source: socket.socket, sink: socket.socket) -> None:
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        def accept() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                far = socket.create_connection(("127.0.0.1", port))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pipe, args=pair, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def behind_proxy(server: Served) -> Iterator[int]:
    """A proxy that puts its own idea of a `Host` into what it passes on, as many do."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.pass_on()

        def do_POST(self) -> None:
            self.pass_on()

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
            answer = server.request(self.command, self.path, body or None, headers)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy.server_address[1]
        proxy.shutdown()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as opened:
        yield opened


CALL_FROM_PAGE = f"""
fetch('apply', {{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: '{json.dumps(CALL)}'}})
    .then(answer => answer.status, error => String(error))
"""


@pytest.mark.needs("chromium")
def test_docs_call_the_server_also_through_a_forwarded_port(server: Served, page: Page) -> None:
    with forwarded(server.port) as port:
        for url in (f"{server.url}/docs", f"http://localhost:{server.port}/docs", f"http://localhost:{port}/docs"):
            page.open(url)
            page.wait_for(f"location.href == '{url}' && document.querySelectorAll('.opblock').length > 1")
            assert page.evaluate(CALL_FROM_PAGE) == 200


@pytest.mark.needs("chromium")
def test_a_proxy_that_rewrites_host_needs_the_option(tmp_path: Path, server: Served, page: Page) -> None:
    with behind_proxy(server) as port:
        page.open(f"http://localhost:{port}/docs")
        page.wait_for("document.querySelectorAll('.opblock').length > 1")
        assert page.evaluate(CALL_FROM_PAGE) == 403
        env = {"TESSERACT_ALLOWED_ORIGINS": f"http://localhost:{port}"}
        with served(API, tmp_path, port=None, env=env) as allowing, behind_proxy(allowing):
            assert apply_from(allowing, f"http://localhost:{port}").status == 200


@pytest.mark.needs("chromium")
def test_a_page_of_another_site_runs_nothing(tmp_path: Path, server: Served, page: Page) -> None:
    """Not even what browsers send without asking first."""
    note = tmp_path / "note"
    call = json.dumps({"inputs": {"how": "note", "path": str(note)}})
    page.open("data:text/html,<title>evil</title>")
    page.wait_for("document.title == 'evil'")
    for headers in ("{}", "{'Content-Type': 'text/plain'}", "{'Content-Type': 'application/json'}"):
        page.evaluate(
            f"fetch('{server.url}/apply',"
            f"{{method: 'POST', mode: 'no-cors', headers: {headers}, body: {json.dumps(call)}}})"
            ".then(() => 1, () => 2)"
        )
    assert server.post("/apply", CALL).status == 200
    assert not note.exists()
