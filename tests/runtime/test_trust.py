"""What a payload may read, and who sent it: patterns of URLs and hosts, redirects, and the children of a server."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError
from support.served import served
from tesseract_core.runtime import Array, Float64
from tesseract_core.runtime.config import override_config, update_config
from tesseract_core.runtime.core import load_module_from_path
from tesseract_core.runtime.experimental import LazySequence, TesseractReference
from tesseract_core.runtime.file_interactions import read_from_path
from tesseract_core.runtime.serve import create_rest_api
from tesseract_core.runtime.trust import is_closed, network_payload
from tesseract_core.runtime.url_patterns import below, host_matcher

pytestmark = pytest.mark.fast


class In(BaseModel):
    x: Array[(2,), Float64] | None = None
    items: LazySequence[float] | None = None
    helper: TesseractReference | None = None


@pytest.fixture(autouse=True)
def _blank(tmp_path: Path) -> Iterator[None]:
    with override_config():
        update_config(input_path=str(tmp_path))
        yield


@pytest.mark.parametrize(
    ("prefix", "url", "covered"),
    [
        ("http://sdf:8000/", "http://sdf:8000", True),
        ("http://sdf:8000", "http://sdf:8000/", True),
        ("http://sdf:8000", "http://sdf:8000/a/b", True),
        ("sdf:8000", "http://sdf:8000/a", True),
        ("http://SDF", "http://sdf:80/a", True),
        ("https://sdf", "https://sdf:443/a", True),
        ("https://sdf", "http://sdf/a", False),
        ("http://sdf:8000", "http://sdf:80001", False),
        ("http://sdf", "http://sdf:8000", False),
        ("http://sdf:*", "http://sdf:8000/x", True),
        ("http://sdf/a", "http://sdf/a?key=1", True),
        ("http://sdf/a", "http://sdf/ab", False),
        ("http://sdf/a", "http://sdf/a/../b", False),
        ("http://sdf/a", "http://sdf/a/%2e%2E/b", False),
        ("http://sdf", "http://sdf@evil/", False),
        ("http://sdf", "http://sdf.evil/", False),
        ("http://sdf", "http://sdf\\@evil/", False),
        ("http://sdf", "http://evil\\@sdf/", False),
        ("http://sdf", "http://user:pw@sdf/", False),
        ("http://sdf", "http://sdf/x::file:///etc/passwd", False),
        ("http://[::1]:80", "http://[::1]/x", True),
        ("http://*.example.org", "http://a.b.example.org/x", True),
        ("http://*.example.org", "http://example.org/x", False),
        ("http://*.example.org", "http://evilexample.org/x", False),
        ("http://*", "http://anything/x", True),
        ("*", "https://user:pw@anything:1/x", True),
        ("*", "http://a/../b", False),
        ("*", "file:///etc/passwd", False),
        ("*", "s3://bucket/key", False),
        ("s3://*", "s3://bucket/key", True),
        ("s3://bucket/data", "s3://bucket/data/my file.json", True),
        ("s3://bucket", "s3://Bucket/x", False),
        ("file:///data", "file:///data/x", True),
        ("http://[", "http://[", False),
    ],
)
def test_url_patterns(prefix: str, url: str, covered: bool) -> None:
    assert below(url, [prefix]) is covered


@pytest.mark.parametrize(
    ("pattern", "name", "is_it"),
    [
        ("sdf", "sdf", True),
        ("SDF.", "sdf", True),
        ("http://sdf:8000/", "sdf", True),
        ("*", "anything", True),
        ("*.example.org", "a.example.org", True),
        ("*.example.org", "example.org", False),
        ("example.org", "a.example.org", False),
    ],
)
def test_host_patterns_have_the_same_syntax(pattern: str, name: str, is_it: bool) -> None:
    assert host_matcher([pattern])(name) is is_it


# ---- redirects


class _Sites:
    """Two servers on loopback: "/to/URL" redirects there, all else is what `content` holds. Requests are recorded."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        sites = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sites.seen.append((f"{self.server.server_port}{self.path}", dict(self.headers)))  # type: ignore[attr-defined]
                if self.path.startswith("/to/"):
                    self.send_response(302)
                    self.send_header("Location", self.path[4:])
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = sites.content.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body or b"")

            do_HEAD = do_POST = do_GET  # noqa: N815

            def log_message(self, *args: Any) -> None: ...

        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        self.ports = [server.server_port for server in self._servers]
        self.allowed, self.other = (f"http://127.0.0.1:{port}" for port in self.ports)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def asked(self, port: int) -> list[dict[str, str]]:
        return [headers for place, headers in self.seen if place.startswith(str(port))]


@contextmanager
def sites() -> Iterator[_Sites]:
    found = _Sites()
    try:
        yield found
    finally:
        found.close()


def binref(url: str) -> dict[str, Any]:
    return {"shape": [2], "dtype": "float64", "data": {"buffer": url, "encoding": "binref"}}


DATA = np.array([1.0, 2.0]).tobytes()


def test_redirects_of_binref_files_and_items_are_checked() -> None:
    with sites() as web, network_payload():
        web.content = {"/x.bin": DATA, "/x.json": b"3.0"}
        update_config(allowed_url_prefixes=(web.allowed,))
        inside, outside = f"{web.allowed}/to/{web.allowed}", f"{web.allowed}/to/{web.other}"
        assert In(x=binref(f"{inside}/x.bin")).x.tolist() == [1, 2]  # type: ignore[union-attr]
        assert list(In(items=f"@{inside}/x.json").items or ()) == [3.0]
        hop = f"redirects to {web.other}/x.{{}}, which is not allowed here; .*TESSERACT_ALLOWED_URL_PREFIXES"
        with pytest.raises(ValidationError, match=hop.format("bin")):
            In(x=binref(f"{outside}/x.bin"))
        with pytest.raises(ValueError, match=hop.format("json")):
            list(In(items=f"@{outside}/x.json").items or ())
        assert not web.asked(web.ports[1])
        update_config(allowed_url_prefixes=(web.allowed, web.other))
        assert In(x=binref(f"{outside}/x.bin")).x.tolist() == [1, 2]  # type: ignore[union-attr]


def test_each_hop_is_checked_and_none_leaves_http() -> None:
    with sites() as web, network_payload():
        web.content = {"/x.bin": DATA}
        update_config(allowed_url_prefixes=(web.allowed,))
        with pytest.raises(ValidationError, match=f"redirects to {web.other}/to/{web.allowed}/x.bin, which is not"):
            In(x=binref(f"{web.allowed}/to/{web.other}/to/{web.allowed}/x.bin"))
        update_config(allowed_url_prefixes=("*",))
        with pytest.raises(ValidationError, match=r"redirects to file:///etc/passwd: redirects are followed to http"):
            In(x=binref(f"{web.allowed}/to/file:///etc/passwd"))


def test_redirects_of_references_are_checked() -> None:
    with sites() as web, network_payload():
        update_config(allowed_url_prefixes=(web.allowed,))
        helper = In(helper={"type": "url", "ref": f"{web.allowed}/to/{web.other}"}).helper
        with pytest.raises(ValueError, match=f"redirects to {web.other}/openapi.json, which is not allowed here"):
            helper.apply({})  # type: ignore[union-attr]
        assert not web.asked(web.ports[1])


def test_the_operator_follows_redirects_and_credentials_stay_with_their_host(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "http", {"headers": {"X-Api-Key": "secret"}})
    with sites() as web:
        web.content = {"/x.bin": DATA}
        url = f"{web.allowed.replace('//', '//user:pw@')}/to/{web.other}/x.bin"
        assert In(x=binref(url)).x.tolist() == [1, 2]  # type: ignore[union-attr]
        assert read_from_path(url) == DATA
        basic = "Basic " + base64.b64encode(b"user:pw").decode()
        assert all(h["Authorization"] == basic and h["X-Api-Key"] == "secret" for h in web.asked(web.ports[0]))
        assert web.asked(web.ports[1])
        for headers in web.asked(web.ports[1]):
            assert not {"authorization", "x-api-key"} & {name.lower() for name in headers}


def test_what_a_url_holds_may_name_what_lies_beside_it_only(tmp_path: Path) -> None:
    (tmp_path / "own.bin").write_bytes(DATA)

    class Items(BaseModel):
        items: LazySequence[Array[(2,), Float64]]

    with sites() as web:
        encoded = '{"shape": [2], "dtype": "float64", "data": {"buffer": "%s", "encoding": "binref"}}'
        web.content = {
            "/a/0.json": (encoded % "x.bin").encode(),
            "/a/x.bin": DATA,
            "/a/1.json": (encoded % f"{web.other}/x.bin").encode(),
            "/a/2.json": (encoded % "/etc/passwd").encode(),
        }
        assert Items(items=f"@{web.allowed}/a/0.json").items[0].tolist() == [1, 2]
        with pytest.raises(ValidationError, match="TESSERACT_ALLOWED_URL_PREFIXES"):
            Items(items=f"@{web.allowed}/a/1.json").items[0]
        with pytest.raises(ValidationError, match="TESSERACT_BINREF_ROOTS"):
            Items(items=f"@{web.allowed}/a/2.json").items[0]


# ---- who is closed

API = """
from pydantic import BaseModel
from tesseract_core.runtime import Array, Float64
from tesseract_core.runtime.experimental import LazySequence

class InputSchema(BaseModel):
    x: Array[(2,), Float64] | None = None
    items: LazySequence[float] | None = None

class OutputSchema(BaseModel):
    total: float

def apply(inputs: InputSchema) -> OutputSchema:
    return OutputSchema(total=float(sum(inputs.items or inputs.x)))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "tesseract_api.py").write_text(API)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.bin").write_bytes(DATA)
    (tmp_path / "data" / "1.json").write_text("5.0")
    return tmp_path


def payload(project: Path) -> str:
    buffer = f'{{"buffer": "{project}/data/x.bin", "encoding": "binref"}}'
    return f'{{"inputs": {{"x": {{"shape": [2], "dtype": "float64", "data": {buffer}}}}}}}'


def cli(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tesseract_core.runtime", *arguments],
        cwd=project / "p",
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_line_reads_what_its_user_may_read(project: Path) -> None:
    (project / "case.json").write_text(payload(project))
    for argument in (payload(project), f"@{project}/case.json", f"@file://{project}/case.json"):
        assert cli(project, "apply", argument).stdout == '{"total":3.0}'
    items = f'{{"inputs": {{"items": "@{project}/data/*.json"}}}}'
    assert cli(project, "apply", items).stdout == '{"total":5.0}'


def test_a_payload_from_a_url_is_not_the_operators(project: Path) -> None:
    with sites() as web:
        web.content = {"/case.json": payload(project).encode()}
        refused = cli(project, "apply", f"@{web.allowed}/case.json")
        assert refused.returncode == 2
        assert f"allows the directory '{project}/data' with TESSERACT_BINREF_ROOTS" in refused.stderr
        allowed = cli(project, "--binref-roots", f"{project}/data", "apply", f"@{web.allowed}/case.json")
        assert allowed.stdout == '{"total":3.0}'


SERVED = """
import subprocess, sys, threading
from pydantic import BaseModel, ValidationError
from tesseract_core import Tesseract
from tesseract_core.runtime.experimental import LazySequence

class InputSchema(BaseModel):
    pattern: str

class OutputSchema(BaseModel):
    refused: dict[str, bool]

class Items(BaseModel):
    items: LazySequence[float]

def refused(read):
    try:
        read()
    except Exception as error:
        return "TESSERACT_BINREF_ROOTS" in str(error)
    return False

def apply(inputs: InputSchema) -> OutputSchema:
    found = {"plain": refused(lambda: Items(items=inputs.pattern))}
    def in_thread():
        found["thread"] = refused(lambda: Items(items=inputs.pattern))
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    other = Tesseract.from_tesseract_api("OTHER")
    found["in process"] = refused(lambda: other.apply({"items": inputs.pattern}))
    command = [sys.executable, "-m", "tesseract_core.runtime", "apply", '{"inputs": {"items": "%s"}}' % inputs.pattern]
    child = subprocess.run(command, env={**__import__("os").environ, "TESSERACT_API_PATH": "OTHER"},
                           capture_output=True, text=True)
    found["child"] = "TESSERACT_BINREF_ROOTS" in child.stderr
    return OutputSchema(refused=found)
"""


def test_threads_children_and_tesseracts_inside_of_a_server_are_closed(project: Path) -> None:
    api = project / "served" / "tesseract_api.py"
    api.parent.mkdir()
    api.write_text(SERVED.replace("OTHER", str(project / "p" / "tesseract_api.py")))
    for roots, closed in (("", True), (f"{project}/data", False)):
        with served(api, project / "served", env={"TESSERACT_BINREF_ROOTS": roots}) as server:
            answer = server.post("/apply", {"inputs": {"pattern": f"@{project}/data/*.json"}})
            expected = dict.fromkeys(("plain", "thread", "in process", "child"), closed)
            assert answer.json == {"refused": expected}, server.log


def test_an_application_is_closed_while_a_server_runs_it(project: Path) -> None:
    app = create_rest_api(load_module_from_path(project / "p" / "tesseract_api.py"))
    seen = []

    async def events() -> dict[str, str]:
        seen.append(is_closed())
        return {"type": "lifespan.startup" if len(seen) == 1 else "lifespan.shutdown"}

    async def send(event: Any) -> None:
        seen.append(is_closed())

    assert not is_closed()
    asyncio.run(app({"type": "lifespan", "asgi": {"version": "3.0"}}, events, send))
    assert seen == [True] * 4
    assert not is_closed()
