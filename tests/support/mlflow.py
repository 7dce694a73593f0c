"""MLflow servers in rootless containers, made from contrib/mlflow/, and what they have recorded."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tesseract.backends.select import get_backend

ROOT = Path(__file__).resolve().parents[2]
STACK = ROOT / "contrib" / "mlflow"
COMPOSE = STACK / "docker-compose-mlflow.yml"
IMAGE = "localhost/tesseract-mlflow-server"
NETWORK = "tesseract-mlflow-server"


@dataclass(frozen=True)
class Server:
    """An MLflow server, reachable from this machine at `url` and from containers at `port` of their host's loopback."""

    url: str
    port: int
    user: str | None = None
    password: str | None = None

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """An answer of MLflow's REST API (https://mlflow.org/docs/latest/api_reference/rest-api.html)."""
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        if self.user:
            token = b64encode(f"{self.user}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return dict(json.load(answer))

    def runs(self) -> list[dict[str, Any]]:
        """All runs of the default experiment, newest first."""
        return list(self.call("runs/search", {"experiment_ids": ["0"]}).get("runs", []))


def build_image() -> None:
    """Build the server's image unless it is there; it is shared between suites, because it takes a minute."""
    if subprocess.run(["podman", "image", "exists", IMAGE], check=False).returncode:
        subprocess.run([STACK / "build-image.sh"], check=True, capture_output=True, timeout=900)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def stack(starter: str = "podman-compose") -> Iterator[Server]:
    """The stack of contrib/mlflow/.

    Args:
        starter: Who brings it up: `podman-compose` in the background, `docker-compose` in the foreground as the mission
            document prints it, on Podman's socket, or `podman kube play`.
    """
    build_image()
    port = free_port()
    with _STARTERS[starter](port):
        yield _ready(Server(f"http://127.0.0.1:{port}", port))


@contextmanager
def _podman_compose(port: int) -> Iterator[None]:
    compose = [str(Path(sys.executable).parent / "podman-compose"), "-f", str(COMPOSE)]
    environ = _settings(port)
    _run(*compose, "up", "-d", env=environ)
    try:
        yield
    finally:
        _run(*compose, "down", "-v", env=environ)


@contextmanager
def _docker_compose(port: int) -> Iterator[None]:
    compose = ["docker-compose", "-f", str(COMPOSE)]
    environ = {**_settings(port), "DOCKER_HOST": get_backend("podman").info().endpoint}
    with subprocess.Popen([*compose, "up"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as up:
        try:
            yield
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
            _run(*compose, "down", "-v", env=environ)


@contextmanager
def _kube_play(port: int) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "mlflow-kube.yaml")
        manifest.write_text((STACK / "mlflow-kube.yaml").read_text().replace("hostPort: 5000", f"hostPort: {port}"))
        _run("podman", "network", "create", NETWORK)
        try:
            _run("podman", "kube", "play", "--network", NETWORK, str(manifest))
            yield
        finally:
            _run("podman", "kube", "down", str(manifest))
            _run("podman", "volume", "rm", "mlflow-data")
            _run("podman", "network", "rm", NETWORK)


_STARTERS = {"podman-compose": _podman_compose, "docker-compose": _docker_compose, "podman kube play": _kube_play}


def _settings(port: int) -> dict[str, str]:
    return {**os.environ, "MLFLOW_PORT": str(port), "MLFLOW_ALLOWED_HOSTS": "*"}


def _run(*command: str, env: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=env)


@contextmanager
def server_with_login() -> Iterator[Server]:
    """A server with MLflow's basic-auth application and an administrator."""
    build_image()
    name, port = f"mlflow-test-{secrets.token_hex(4)}", free_port()
    command = ["podman", "run", "-d", "--init", "--name", name, "-p", f"127.0.0.1:{port}:5000"]
    command += ["-e", "MLFLOW_FLASK_SERVER_SECRET_KEY=test", "-e", "MLFLOW_AUTH_ADMIN_PASSWORD=a-long-password"]
    command += ["-e", "MLFLOW_SERVER_ALLOWED_HOSTS=*", IMAGE]
    command += ["mlflow", "server", "--app-name", "basic-auth", "--host", "0.0.0.0", "--port", "5000"]
    command += ["--backend-store-uri", "sqlite:////tmp/mlflow.db", "--artifacts-destination", "/tmp/artifacts"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    try:
        yield _ready(Server(f"http://127.0.0.1:{port}", port, "admin", "a-long-password"))
    finally:
        subprocess.run(["podman", "rm", "-f", "-t0", "-v", name], check=True, capture_output=True, timeout=60)


def _ready(server: Server) -> Server:
    end = time.monotonic() + 60
    while True:
        try:
            server.runs()
            return server
        except (OSError, urllib.error.URLError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
