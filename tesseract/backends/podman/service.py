"""The private service of Podman's API, started on demand.

It is `podman system service --time=N` on a socket in the user's runtime directory. It ends by itself
when nobody has talked to it for a while. It has a session of its own, so it outlives the command that started it,
and the machine's own limits (`fresh`), not those of the shell where that was; what cannot be undone is said, and only
those who have the same use that service.
Its supplementary groups are those of its starter, and containers inherit them; so groups, and everything
in the environment that selects another store or configuration, are part of the socket's name.
"""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from tesseract import proc
from tesseract.backends import cdi
from tesseract.backends.fullness import with_room
from tesseract.backends.podman import fresh
from tesseract.backends.podman.endpoint import Endpoint
from tesseract.backends.podman.ping import ping
from tesseract.backends.refusals import engine_error
from tesseract.errors import DiskFull, EngineError, EngineUnavailable

logger = logging.getLogger("tesseract.podman")

IDLE_SECONDS = 60
# Isolated, and without site: it imports four modules. Where Python is embedded, the executable is something else.
_FRESH = [sys.executable, "-I", "-S", fresh.__file__] if Path(sys.executable).name.startswith("python") else []
_START_SECONDS = 20.0


def ensure(endpoint: Endpoint, timeout: float | None = None) -> str:
    """Make sure that the endpoint answers; start or replace the private service where it does not.

    Returns:
        Podman's version.

    Raises:
        EngineUnavailable: Nothing answers, with what was tried and what to do.
    """
    version = ping(endpoint.reached_at(), 5.0 if timeout is None else max(0.1, min(5.0, timeout)))
    if version is not None:
        return version
    if not endpoint.private or endpoint.socket is None:
        raise EngineUnavailable(
            f"Podman does not answer at {endpoint.url} ({endpoint.why}). "
            "Start it (systemctl --user start podman.socket), or unset CONTAINER_HOST to use a service of our own."
        )
    return _start(endpoint, endpoint.socket, _START_SECONDS if timeout is None else min(_START_SECONDS, timeout))


def _start(endpoint: Endpoint, path: Path, timeout: float) -> str:
    """Start the service unless another process does so at this moment: the lock is held until it answers."""
    deadline = time.monotonic() + timeout
    with path.with_suffix(".lock").open("ab") as lock:
        _lock(lock.fileno(), deadline, path)
        version = ping(endpoint.url, 2.0)
        if version is not None:
            return version
        path.unlink(missing_ok=True)  # of a service that was killed
        log = path.with_suffix(".log")
        with log.open("wb") as output:
            argv = service_command(endpoint, _own_cdi_dir(endpoint))
            process = proc.spawn_detached([*_FRESH, *argv], output)
        _started[:] = [*(earlier for earlier in _started if earlier.poll() is None), process]
        while time.monotonic() < deadline:
            if path.exists():
                _hand_over(endpoint, path)
                version = ping(endpoint.url, 2.0)
                if version is not None:
                    _tell_kept(log)
                    return version
            if process.poll() is not None:
                raise _start_error(log, f"it ended with status {process.returncode}")
            time.sleep(0.005)
        raise _start_error(log, f"it did not answer within {timeout:.0f} s")


def _tell_kept(log: Path) -> None:
    """Say what the service has from where it was started, and could not get rid of."""
    lines = log.read_text(errors="replace").splitlines()
    kept = [line.removeprefix(fresh.KEPT) for line in lines if line.startswith(fresh.KEPT)]
    if kept:
        logger.warning(
            "Containers started from here have %s, which cannot be undone. A new login has the machine's own limits.",
            ", ".join(kept),
        )


def service_command(endpoint: Endpoint, cdi_dir: Path | None) -> list[str]:
    """The words that start the service. Pure.

    Args:
        cdi_dir: A directory of CDI specifications besides the system's.
    """
    # Warnings about each request would fill the log.
    options = ["--log-level=error", *([f"--cdi-spec-dir={cdi_dir}"] if cdi_dir else [])]
    return [*endpoint.executable, *options, "system", "service", f"--time={IDLE_SECONDS}", endpoint.url]


def _own_cdi_dir(endpoint: Endpoint) -> Path | None:
    """The user's CDI directory, if there is something in it and Podman can be told (5.5 and newer)."""
    directory = cdi.user_dir()
    if directory is None or not cdi.read_specs([directory]).specs:
        return None
    said = proc.run([*endpoint.executable, "--version"], timeout=20).stdout.decode(errors="replace")
    return directory if directory in cdi.spec_dirs(cdi.version_tuple(said)) else None


# Kept so that the interpreter neither warns about running children nor leaves them unreaped.
_started: list[subprocess.Popen[bytes]] = []


def _lock(fd: int, deadline: float, path: Path) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise EngineUnavailable(
                    "Another process has been starting Podman's service for a long time. "
                    f"Look at {path.with_suffix('.log')}."
                ) from None
            time.sleep(0.01)


def _hand_over(endpoint: Endpoint, path: Path) -> None:
    """A service started through sudo owns its socket; give it to us, by the same words."""
    prefix = endpoint.executable[:-1]
    if prefix and path.stat().st_uid != os.getuid():
        proc.run([*prefix, "chown", str(os.getuid()), str(path)], timeout=20)


def _start_error(log: Path, what: str) -> EngineError:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = next(
        (line for line in reversed(lines) if "Error:" in line or "level=error" in line), lines[-1] if lines else ""
    )
    error = engine_error("Podman", said)
    if isinstance(error, DiskFull):
        return with_room(error, "podman")
    if isinstance(error, EngineUnavailable):
        return error
    return EngineUnavailable(
        f"Podman's service could not be started: {what}{': ' + said if said else ''}. "
        "Try 'podman info', or `tesseract doctor`."
    )
