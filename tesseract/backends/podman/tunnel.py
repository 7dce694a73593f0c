"""Podman behind SSH: its socket, forwarded to one of ours for as long as this process lives.

podman-py's own transport waits minutes for a host that refuses, and trusts every host key.
"""

from __future__ import annotations

import atexit
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tesseract import proc
from tesseract.backends.runtime_dir import runtime_dir
from tesseract.errors import EngineUnavailable

_SECONDS = 20.0


@dataclass(frozen=True)
class _Tunnel:
    local: Path
    process: subprocess.Popen[bytes]
    lifeline: socket.socket

    def close(self) -> None:
        self.lifeline.close()
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        shutil.rmtree(self.local.parent, ignore_errors=True)


_tunnels: dict[tuple[str, str | None], _Tunnel] = {}
_lock = threading.Lock()


def local_socket(url: str, identity: str | None = None) -> Path:
    """The socket of this machine that leads to the one at `url`.

    Args:
        url: `ssh://[user@]host[:port]/path/to/podman.sock`.
        identity: File of the private key; ssh's own choice by default.

    Raises:
        EngineUnavailable: The host cannot be reached, or asks a question.
    """
    with _lock:
        tunnel = _tunnels.get((url, identity))
        if tunnel is None or tunnel.process.poll() is not None:
            tunnel = _tunnels[url, identity] = _open(url, identity)
        return tunnel.local


@atexit.register
def close_all() -> None:
    """End the tunnels of this process, as its end does."""
    with _lock:
        while _tunnels:
            _tunnels.popitem()[1].close()


def command(url: str, identity: str | None, local: Path) -> list[str]:
    """The words that open the tunnel. Pure. `cat` ends when we do, however we end, and the tunnel with it."""
    parts = urlsplit(url)
    key = ["-i", identity] if identity else []
    options = ["BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=15", "StreamLocalBindMask=0177"]
    words = ["ssh", "-T", *key, *(f"-o{option}" for option in options)]
    return [*words, f"-L{local}:{parts.path}", f"ssh://{parts.netloc}", "cat"]


def _open(url: str, identity: str | None) -> _Tunnel:
    directory = Path(tempfile.mkdtemp(prefix="ssh-", dir=runtime_dir()))
    local, log = directory / "podman.sock", directory / "log"
    ours, theirs = socket.socketpair()
    with theirs, log.open("wb") as output:
        process = proc.spawn_on_socket(command(url, identity, local), theirs, output)
    tunnel = _Tunnel(local, process, ours)
    end = time.monotonic() + _SECONDS
    while not local.exists():
        if process.poll() is not None or time.monotonic() > end:
            said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            tunnel.close()
            host = urlsplit(url).netloc
            raise EngineUnavailable(
                f"Podman at {url} cannot be reached: {said[-1].strip() if said else 'ssh does not answer'}. "
                f"Check that 'ssh {host} true' works without a question."
            )
        time.sleep(0.01)
    log.unlink()
    return tunnel
