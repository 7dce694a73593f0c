"""A Tesseract served by the installed command in processes of its own, and a plain HTTP client for it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60


@dataclass(frozen=True)
class Answer:
    """What the server said. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A running server. `output` is its output directory, `log` has what it wrote to stderr and stdout so far."""

    process: subprocess.Popen[bytes]
    port: int
    output: Path
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def connect(self, timeout: float = 60) -> http.client.HTTPConnection:
        """Return a keep-alive connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", path, headers=headers)

    def post(
        self,
        path: str,
        payload: Any,
        headers: Mapping[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """POST `payload` as JSON, or as it is if it is bytes."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        merged = {"Content-Type": "application/json", **(headers or {})}
        return self.request("POST", path, body, merged, connection)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Answer:
        used = connection or self.connect()
        try:
            used.request(method, path, body, dict(headers or {}))
            response = used.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            if connection is None:
                used.close()


def eventually(condition: Callable[[], object], what: str) -> None:
    """Return once `condition` is true; fails if that never happens."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found.update(children)
        todo += children
    return found


def free_port() -> int:
    """Return a TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    api: Path,
    directory: Path,
    *,
    port: int | None = None,
    options: tuple[str, ...] = (),
    serve_options: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
    pass_fds: tuple[int, ...] = (),
    prefix: tuple[str, ...] = (),
) -> Served:
    """Start `[prefix] tesseract-runtime [options] serve [serve_options]` for the API file, without waiting for it."""
    output = directory / "output"
    output.mkdir(parents=True, exist_ok=True)
    log_file = directory / "server.log"
    port = port or free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TESSERACT_")}
    command = [*prefix, str(Path(sys.executable).parent / "tesseract-runtime"), "--output-path", str(output), *options]
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [*command, "serve", "--port", str(port), *serve_options],
            env={**clean, "TESSERACT_API_PATH": str(api), **(env or {})},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=pass_fds,
        )
    return Served(process, port, output, log_file)


def wait_until_healthy(server: Served) -> None:
    """Return once `/health` answers 200. Fails with the log if the process ends before."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"the server ended with {server.process.returncode}:\n{server.log}"
        try:
            if server.get("/health").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"not healthy after {START_TIMEOUT_S} s:\n{server.log}")


def stop(server: Served) -> int:
    """Ask the server to stop and return its exit status."""
    server.process.terminate()
    try:
        return server.process.wait(60)
    finally:
        server.process.kill()
        server.process.wait()


@contextmanager
def served(api: Path, directory: Path, **options: Any) -> Iterator[Served]:
    """A healthy server for the API file, stopped at the end of the block. Takes the options of `start`."""
    server = start(api, directory, **options)
    try:
        wait_until_healthy(server)
        yield server
    finally:
        stop(server)
