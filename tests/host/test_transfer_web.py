"""Input from web servers: pages of links, servers that die, lie, redirect or say nothing of use, and proxies."""

from __future__ import annotations

import http.server
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.stores import http_server

from tesseract.serving.payload import staged
from tesseract.transfer import web
from tesseract.transfer.fetch import fetch
from tesseract.transfer.remote import TransferError

DATA = bytes(range(256)) * 12_000  # more than one read


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers as the test's function says, and remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    answer: Callable[[Any], tuple[int, dict[str, str], bytes]]
    asked: list[tuple[str, str, str | None]]

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append((self.command, self.path, self.headers["Range"]))
        status, headers, body = type(self).answer(self)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            if int(headers.get("Content-Length", len(body))) > len(body):
                self.close_connection = True

    do_HEAD = do_GET  # noqa: N815 - the server's word


def scripted(answer: Callable[[Any], tuple[int, dict[str, str], bytes]]) -> type[Scripted]:
    return type("Server", (Scripted,), {"answer": staticmethod(answer), "asked": []})


def tree(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_names_are_what_they_are_on_the_server(tmp_path: Path) -> None:
    names = ["sample 1.json", "größe", "50%.txt", "a?b", "a#b", "-dash", "a&b", ".hidden", "deep down/x y"]
    for name in names:
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    with http_server(tmp_path / "source") as url:
        assert tree(fetch(f"{url}/", cache=tmp_path / "cache")) == {name: name.encode() for name in sorted(names)}
        assert tree(fetch(f"{url}/sample%201.json", cache=tmp_path / "cache")) == {"sample 1.json": b"sample 1.json"}


# As Apache writes it: links that sort, one to the parent, and more that do not belong there.
INDEX = b"""<html><head><title>Index of /data</title></head><body><table>
<tr><th><a href="?C=N;O=D">Name</a></th><th><A HREF="?C=M;O=A">Last modified</A></th></tr>
<tr><td><a href="/">Parent Directory</a></td></tr>
<tr><td><a href="x.txt">x.txt</a></td><td><a href="/data/sub/">sub/</a></td></tr></table>
<a href="http://elsewhere.example/data/stolen">x</a><a href="/database/y">y</a><a href="#top">top</a></body></html>"""


def test_a_page_of_links(tmp_path: Path) -> None:
    pages = {"/data/": INDEX, "/data/sub/": b'<a href="../">Up</a><a href="y.txt">y</a>'}

    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        path = request.path
        return (200, {}, pages.get(path, path.encode())) if path.startswith("/data/") else (404, {}, b"")

    with http_server(tmp_path, scripted(answer)) as url:
        entry = fetch(f"{url}/data/", cache=tmp_path / "cache")
    assert tree(entry) == {"sub/y.txt": b"/data/sub/y.txt", "x.txt": b"/data/x.txt"}


def test_pages_without_end(tmp_path: Path) -> None:
    with (
        http_server(tmp_path, scripted(lambda request: (200, {}, b'<a href="more/">more</a>'))) as url,
        pytest.raises(TransferError, match="a loop of links"),
    ):
        fetch(f"{url}/", cache=tmp_path / "cache")


@pytest.mark.parametrize("href", ["..%2f..%2fevil", "%2e%2e%2fevil", "a%2f%2e%2e%2f%2e%2e%2fevil", "a%00b"])
def test_names_that_lead_out_are_refused(tmp_path: Path, href: str) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, f'<a href="{href}">x</a>'.encode() if request.path == "/data/" else b"evil"

    with (
        http_server(tmp_path, scripted(answer)) as url,
        pytest.raises(TransferError, match="unsafe name"),
    ):
        fetch(f"{url}/data/", cache=tmp_path / "cache")
    assert [path for path in tmp_path.rglob("*") if "evil" in path.name] == []


@pytest.mark.parametrize("ranges", ["given", "ignored", "claimed"])
def test_a_connection_that_was_lost(tmp_path: Path, ranges: str) -> None:
    lost = []

    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        headers = {"ETag": '"one"', "Accept-Ranges": "none" if ranges == "ignored" else "bytes"}
        if request.command == "GET" and not lost:
            lost.append(True)
            return 200, {**headers, "Content-Length": str(len(DATA))}, DATA[:2_000_000]
        wanted = request.headers["Range"]
        if wanted and ranges == "given" and request.headers["If-Range"] == '"one"':
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            return 206, {**headers, "Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}, DATA[start:]
        return 200, headers, DATA

    server = scripted(answer)
    with http_server(tmp_path, server) as url:
        with pytest.raises(TransferError, match="run the command again to go on") as caught:
            fetch(f"{url}/blob", cache=tmp_path / "cache")
        assert "\n" not in str(caught.value)
        assert tree(fetch(f"{url}/blob", cache=tmp_path / "cache")) == {"blob": DATA}
    assert server.asked[-1] == ("GET", "/blob", server.asked[-1][2])
    assert str(server.asked[-1][2]).startswith("bytes="), "it goes on where it stopped, if the server can do that"


def test_a_file_that_changed_since_is_fetched_from_the_start(tmp_path: Path) -> None:
    versions = ["one", "two"]

    def answer(request: Any) -> tuple[int, dict[str, str], bytes]:
        headers, content = {"ETag": f'"{versions[0]}"'}, versions[0].encode() * 1_000_000
        if request.command == "GET" and versions[0] == "one":
            return 200, {**headers, "Content-Length": str(len(content))}, content[:2_000_000]
        return 200, headers, content

    with http_server(tmp_path, scripted(answer)) as url:
        with pytest.raises(TransferError):
            fetch(f"{url}/blob", cache=tmp_path / "cache")
        versions.pop(0)
        assert tree(fetch(f"{url}/blob", cache=tmp_path / "cache")) == {"blob": b"two" * 1_000_000}


def test_a_signed_address_is_not_part_of_the_name(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "x.bin").write_text("x")
    with http_server(tmp_path / "source") as url:
        entry = fetch(f"{url}/x.bin?X-Amz-Signature=a/hunter2", cache=tmp_path / "cache")
    assert tree(entry) == {"x.bin": b"x"}
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert not any("hunter2" in str(path) or "hunter2" in path.read_text() for path in kept)


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_credentials_are_in_no_traceback(tmp_path: Path, status: int) -> None:
    query = "?signature=" + "hunter2"  # a traceback shows the line of the call
    with http_server(tmp_path, scripted(lambda request: (status, {}, b""))) as url:
        url = f"{url.replace('://', '://ann:secret@')}/x{query}"
        with pytest.raises(TransferError) as caught:
            fetch(url, cache=tmp_path / "cache")
    said = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in said
    assert "secret" not in said


def test_nobody_listens(tmp_path: Path) -> None:
    with http_server(tmp_path) as url:
        pass
    with pytest.raises(TransferError, match="Cannot connect"):
        fetch(f"{url}/x", cache=tmp_path / "cache")


def test_a_proxy_is_used_where_the_environment_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = scripted(lambda request: (200, {}, b"by proxy"))
    with http_server(tmp_path, server) as url:
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.delenv("no_proxy", raising=False)
        entry = fetch("http://data.example/x", cache=tmp_path / "cache")
    assert tree(entry) == {"x": b"by proxy"}
    assert {path for _, path, _ in server.asked} == {"http://data.example/x"}


def test_a_large_file_may_take_as_long_as_it_takes() -> None:
    timeout = web.options("http")["client_kwargs"]["timeout"]
    assert timeout.total is None
    assert timeout.sock_read


def test_credentials_stay_with_their_host_where_it_redirects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "http", {"client_kwargs": {"headers": {"X-Api-Key": "secret"}}})
    seen: dict[str, set[str]] = {}

    def redirecting(request: Any) -> tuple[int, dict[str, str], bytes]:
        seen.setdefault("first", set()).update(name.lower() for name in request.headers)
        return 302, {"Location": f"{elsewhere}/x.json"}, b""

    def answering(request: Any) -> tuple[int, dict[str, str], bytes]:
        seen.setdefault("other", set()).update(name.lower() for name in request.headers)
        return 200, {}, b"{}"

    with (
        http_server(tmp_path, scripted(answering)) as elsewhere,
        http_server(tmp_path, scripted(redirecting)) as web_server,
        staged([f"@{web_server.replace('//', '//user:pw@')}/x.json"], tmp_path) as payload,
    ):
        assert Path(payload.mounts[0].source).read_bytes() == b"{}"
    assert {"authorization", "x-api-key"} <= seen["first"]
    assert not {"authorization", "x-api-key"} & seen["other"]
