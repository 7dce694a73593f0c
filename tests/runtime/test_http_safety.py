"""Who may call, and how much they may send."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support.served import Served, eventually, served
from tesseract_core.runtime.serve import guards
from tesseract_core.runtime.serve.address import Address, claim, is_loopback

API = Path(__file__).parent / "apis" / "http_load.py"
PAYLOAD = {"inputs": {"how": "nothing"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(API, tmp_path_factory.mktemp("safety")) as running:
        yield running


# Host header


def host(server: Served, name: str, path: str = "/health") -> int:
    return server.get(path, {"Host": name}).status


@pytest.mark.parametrize(
    "name", ["127.0.0.1", "127.0.0.1:80", "localhost", "LOCALHOST:8000", "[::1]:80", "10.1.2.3", "localhost."]
)
def test_addresses_and_loopback_names_are_accepted(server: Served, name: str) -> None:
    assert host(server, name) == 200


@pytest.mark.parametrize(
    "name",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.example", "[::1].evil"),
        *("[localhost]", "[::1%.evil]", "127.0.0.1@evil", "localhost:80@evil", "localhost:evil"),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs", "/apply", "/nothing"])
def test_other_names_are_misdirected_on_a_loopback_bind(server: Served, name: str, path: str) -> None:
    """DNS rebinding: a web page's own name resolves to 127.0.0.1."""
    answer = server.get(path, {"Host": name})
    assert answer.status == 421
    assert "TESSERACT_ALLOWED_HOSTS" in answer.json["detail"]


def test_a_second_host_header_does_not_help(server: Served) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 200 " not in answer.split(b"\r\n")[0]


def test_allowed_hosts(tmp_path: Path) -> None:
    with served(API, tmp_path, env={"TESSERACT_ALLOWED_HOSTS": "solver.example, other"}) as server:
        assert host(server, "solver.example:8000") == 200
        assert host(server, "Other") == 200
        assert host(server, "localhost") == 200
        assert host(server, "evil.example") == 421


def test_a_public_bind_checks_names_only_against_a_list(tmp_path: Path) -> None:
    public = ("--host", "0.0.0.0")
    with served(API, tmp_path / "none", serve_options=public) as server:
        assert host(server, "any.example") == 200
    with served(API, tmp_path / "list", serve_options=public, env={"TESSERACT_ALLOWED_HOSTS": "good"}) as server:
        assert [host(server, name) for name in ("good", "10.0.0.1", "evil.example")] == [200, 200, 421]


def test_a_star_switches_the_check_off(tmp_path: Path) -> None:
    with served(API, tmp_path, env={"TESSERACT_ALLOWED_HOSTS": "*"}) as server:
        assert host(server, "any.example") == 200


# The access log


def test_a_path_cannot_write_to_the_log_what_it_likes(server: Served) -> None:
    """Decoded, a path holds line breaks and escape sequences."""
    forged = '[INFO] 10.0.0.1 - "GET /secret HTTP/1.1" 200'
    before = len(server.log.splitlines())
    assert server.get("/a%0A" + quote(forged) + "%1B%5B2J%C2%9B%E2%80%A8%22%20200").status == 404
    assert server.get("/plain/path").status == 404
    eventually(lambda: "/plain/path" in server.log, "the second request is logged")
    added = server.log.splitlines()[before:]
    assert forged not in added
    assert len(added) == 2
    assert all(character.isprintable() and character.isascii() for character in "".join(added))
    assert added[0].count('"') == 2


# What a body may make the server read


def array_at(buffer: str) -> dict[str, object]:
    data = {"buffer": buffer, "encoding": "binref"}
    return {"inputs": {"how": "nothing", "data": {"shape": [1], "dtype": "float64", "data": data}}}


@pytest.mark.parametrize("buffer", ["/etc/passwd:0", "../server.log:0", "output/../../../etc/passwd:0"])
def test_files_outside_of_the_input_directory_are_not_read(server: Served, buffer: str) -> None:
    answer = server.post("/apply", array_at(buffer))
    assert answer.status == 422
    assert answer.json["detail"][0]["type"] == "array_decode_error"


def test_a_url_in_a_body_is_not_fetched(server: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bait:
        answer = server.post("/apply", array_at(f"http://127.0.0.1:{bait.getsockname()[1]}/x.bin:0"))
        assert answer.status == 422
        bait.settimeout(0.5)
        with pytest.raises(TimeoutError):
            bait.accept()


# Token


def test_token(tmp_path: Path) -> None:
    with served(API, tmp_path, env={"TESSERACT_TOKEN": "s3cret"}) as server:
        for given in (None, "Bearer wrong", "Bearer ", "Basic s3cret", "s3cret", "Bearer s3cret2"):
            headers = {} if given is None else {"Authorization": given}
            for answer in (server.post("/apply", PAYLOAD, headers), server.get("/openapi.json", headers)):
                assert answer.status == 401
                assert answer.headers["www-authenticate"] == "Bearer"
        right = {"Authorization": "Bearer s3cret"}
        assert server.post("/apply", PAYLOAD, right).status == 200
        assert server.get("/openapi.json", right).status == 200
        # A probe has no token, and a page cannot be opened with one; neither tells anything about the Tesseract.
        assert server.get("/health").status == 200
        assert server.get("/docs").status == 200
        assert "s3cret" not in server.log


# Body size


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    env = {"TESSERACT_MAX_BODY_SIZE": "100000"}
    with served(API, tmp_path_factory.mktemp("small"), env=env) as running:
        yield running


def padded(size: int) -> bytes:
    return json.dumps(PAYLOAD).encode().ljust(size)


def test_a_body_of_the_limit_passes(small: Served) -> None:
    assert small.post("/apply", padded(100_000)).status == 200


@pytest.mark.parametrize("size", [100_001, 5_000_000])
def test_a_larger_body_is_refused(small: Served, size: int) -> None:
    answer = small.post("/apply", padded(size))
    assert answer.status == 413
    assert "100000" in answer.json["detail"]


@pytest.mark.parametrize("size", [100_001, 5_000_000])
def test_a_larger_body_of_unannounced_length_is_refused(small: Served, size: int) -> None:
    connection = small.connect()
    pieces = iter([padded(size)[start : start + 50_000] for start in range(0, size, 50_000)])
    connection.request("POST", "/apply", pieces, {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413


def test_an_absurd_announced_length_is_refused_without_waiting_for_it(small: Served) -> None:
    with socket.create_connection(("127.0.0.1", small.port), timeout=30) as connection:
        connection.sendall(b"POST /apply HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
    assert small.post("/apply", PAYLOAD).status == 200


@pytest.mark.fast
def test_default_limit() -> None:
    assert 0 < guards.body_limit(0) <= 4 * 1024**3
    assert guards.body_limit(17) == 17


@pytest.mark.fast
@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_a_name_with_several_addresses_means_the_ipv4_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `localhost` has on many machines. A client that writes 127.0.0.1 must reach the server, too."""
    addresses = [(socket.AF_INET6, ("::1", 0, 0, 0)), (socket.AF_INET, ("127.0.0.1", 0))]
    found = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    assert claim(Address("localhost", 0)).host == "127.0.0.1"
