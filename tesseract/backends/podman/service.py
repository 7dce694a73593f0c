"""Where Podman's API answers: a service that is there already, or a private one that is started on demand.

The private service is `podman system service --time=N` on a socket in the user's runtime directory. It ends by itself
when nobody has talked to it for a while. It has a session of its own, so it outlives the command that started it.
Its supplementary groups are those of its starter, and containers inherit them; so groups, and everything
in the environment that selects another store or configuration, are part of the socket's name.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import logging
import os
import pwd
import shutil
import socket
import stat
import subprocess
import time
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tesseract import proc
from tesseract.backends.text import engine_error
from tesseract.errors import EngineError, EngineUnavailable

logger = logging.getLogger("tesseract.podman")

IDLE_SECONDS = 60
_START_SECONDS = 20.0
_MAX_SOCKET_PATH = 107
_STORE_VARIABLES = ("CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER",
                    "STORAGE_OPTS", "XDG_CONFIG_HOME", "XDG_DATA_HOME")  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """How to reach Podman.

    Attributes:
        url: `unix:///path`, `tcp://host:port` or `ssh://...`.
        why: How it was found, for people.
        executable: The words that start Podman's command line, resolved; empty if there is none.
        private: Whether it is our own service, started on demand.
        remote: Whether Podman's command line has to be told the URL, because it would otherwise use a store of its own.
    """

    url: str
    why: str
    executable: tuple[str, ...] = ()
    private: bool = False
    remote: bool = False

    @property
    def socket(self) -> Path | None:
        """Its Unix socket, if it has one."""
        scheme, _, path = self.url.partition("://")
        return Path(path) if scheme in ("unix", "http+unix") else None

    @property
    def command(self) -> list[str]:
        """The words that start Podman's command line on the same engine."""
        return [*self.executable, *(["--url", self.url] if self.remote else [])]


def find(executable: tuple[str, ...] | None, why: str, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Decide where to connect, without connecting further than a ping.

    Args:
        executable: The user's words for Podman (`podman --url ...`, `sudo podman`), or `None` for plain `podman`.
        why: Why Podman was chosen.

    Raises:
        EngineUnavailable: Podman is neither installed nor named by `CONTAINER_HOST`.
    """
    words = executable or _installed()
    named, plain = _connection_words(words) if words else (None, words)
    if named:
        return Endpoint(named, f"{why}; connection of '{' '.join(words)}'", plain, remote=True)
    if environ.get("CONTAINER_HOST"):
        return Endpoint(environ["CONTAINER_HOST"], f"{why}; CONTAINER_HOST is set", plain, remote=True)
    if not plain:
        raise EngineUnavailable(
            "Podman was not found, check if it is installed (Debian, Ubuntu: apt-get install podman uidmap "
            "slirp4netns; Fedora: dnf install podman), or point CONTAINER_HOST at a Podman socket."
        )
    if len(plain) == 1:
        users = _users_socket()
        if users is not None and ping(f"unix://{users}", 2.0) is not None:
            return Endpoint(f"unix://{users}", f"{why}; the user's own socket answers", plain)
    path = runtime_dir(environ) / _socket_name(plain, environ)
    return Endpoint(f"unix://{path}", f"{why}; private service, started on demand", plain, private=True)


def ensure(endpoint: Endpoint, timeout: float | None = None) -> str:
    """Make sure that the endpoint answers; start or replace the private service where it does not.

    Returns:
        Podman's version.

    Raises:
        EngineUnavailable: Nothing answers, with what was tried and what to do.
    """
    version = ping(endpoint.url, 5.0 if timeout is None else max(0.1, min(5.0, timeout)))
    if version is not None:
        return version
    if not endpoint.private or endpoint.socket is None:
        raise EngineUnavailable(
            f"Podman does not answer at {endpoint.url} ({endpoint.why}). "
            "Start it (systemctl --user start podman.socket), or unset CONTAINER_HOST to use a service of our own."
        )
    return _start(endpoint, endpoint.socket, _START_SECONDS if timeout is None else min(_START_SECONDS, timeout))


def ping(url: str, timeout: float) -> str | None:
    """Podman's version if its API answers at `url`; None if nothing does, or something else. Other than for Unix
    sockets (tcp, ssh) the question costs more: those are asked through podman-py, see `api`."""
    scheme, _, path = url.partition("://")
    if scheme not in ("unix", "http+unix"):
        from tesseract.backends.podman.api import remote_version

        return remote_version(url, timeout)
    connection = http.client.HTTPConnection("d", timeout=timeout)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(timeout)
        connection.sock.connect(urllib.parse.unquote(path))
        connection.request("GET", "/_ping")
        return connection.getresponse().headers.get("Libpod-API-Version")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def runtime_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Our directory for sockets: ours alone (0700). Without XDG_RUNTIME_DIR, Podman's own fallbacks, with a warning.

    Raises: EngineUnavailable if no candidate is usable.
    """
    uid = os.getuid()
    configured = environ.get("XDG_RUNTIME_DIR")
    fallbacks = [Path(f"/run/user/{uid}"), Path(environ.get("TMPDIR", "/tmp")) / f"podman-run-{uid}",
                 Path(environ.get("HOME", "/")) / "rundir"]  # fmt: skip
    candidates = [*([Path(configured)] if configured else []), *([Path("/run")] if uid == 0 else []), *fallbacks]
    for base in candidates:
        path = base / "tesseract"
        if (
            len(str(path)) + len("/podman-12345678.sock") <= _MAX_SOCKET_PATH
            and _private(base, uid)
            and _make(path, uid)
        ):
            if base != candidates[0] or (not configured and uid != 0):
                reason = f"XDG_RUNTIME_DIR ({configured}) is not usable" if configured else "XDG_RUNTIME_DIR is not set"
                logger.warning("%s; using %s. A login session (ssh, machinectl shell) sets it.", reason, base)
            return path
    raise EngineUnavailable(
        f"No directory for Podman's sockets is usable (tried {', '.join(map(str, candidates))}): set XDG_RUNTIME_DIR to "
        "a directory of yours with mode 0700, or log in through ssh or 'machinectl shell' instead of su or sudo."
    )


def _private(base: Path, uid: int) -> bool:
    """Whether the directory is ours and closed to others, as Podman asks of it; makes it where that is our right."""
    with suppress(OSError):
        base.mkdir(mode=0o700)
    return _owned(base, uid) and os.access(base, os.W_OK | os.X_OK)


def _make(path: Path, uid: int) -> bool:
    with suppress(OSError):
        path.mkdir(mode=0o700)
    return _owned(path, uid) and not path.stat().st_mode & 0o077


def _owned(path: Path, uid: int) -> bool:
    try:
        state = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(state.st_mode) and state.st_uid == uid and not state.st_mode & 0o022


def _installed() -> tuple[str, ...]:
    found = shutil.which("podman")
    return (found,) if found else ()


def _users_socket() -> Path | None:
    base = "/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    path = Path(base) / "podman/podman.sock"
    return path if path.exists() else None


def _socket_name(executable: tuple[str, ...], environ: Mapping[str, str]) -> str:
    """`podman.sock`, or another name for another store, configuration, set of groups or executable."""
    special = [f"{name}={environ[name]}" for name in _STORE_VARIABLES if environ.get(name)]
    groups = sorted({*os.getgroups(), os.getgid()})
    with suppress(KeyError):
        if groups != sorted(set(os.getgrouplist(pwd.getpwuid(os.getuid()).pw_name, os.getgid()))):
            special.append(f"groups={groups}")
    if executable != _installed():
        special.append(f"executable={executable}")
    if not special:
        return "podman.sock"
    return f"podman-{hashlib.sha256(chr(10).join(special).encode()).hexdigest()[:8]}.sock"


def _connection_words(words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Split `podman --remote|--url U|--connection C` into the URL it means and the words without it."""
    url, name, remote, plain = None, None, False, []
    rest = iter(words)
    for word in rest:
        option, _, value = word.partition("=")
        if option in ("--url", "--host", "-H"):
            url = value or next(rest, None)
        elif option in ("--connection", "-c"):
            name = value or next(rest, None)
        elif option in ("--remote", "-r"):
            remote = value not in ("false", "0")
        else:
            plain.append(word)
    if url is None and (name or remote):
        url = os.environ.get("CONTAINER_HOST") if not name else None
        url = url or _named_connection(tuple(plain), name)
    return url, tuple(plain)


def _named_connection(words: tuple[str, ...], name: str | None) -> str:
    import json

    done = proc.run([*words, "system", "connection", "list", "--format=json"], timeout=20)
    try:
        known = json.loads(done.stdout or b"[]") or []
    except ValueError:
        known = []
    for connection in known:
        if connection.get("Name") == name or (name is None and connection.get("Default")):
            return str(connection["URI"])
    if name is None and (users := _users_socket()) is not None:
        return f"unix://{users}"
    wanted = f"no connection '{name}'" if name else "no default connection"
    raise EngineUnavailable(f"Podman knows {wanted}. See 'podman system connection list', or set CONTAINER_HOST.")


# ---- starting -------------------------------------------------------------------------------------------------------


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
            # --log-level: warnings of each request would fill the file.
            argv = [
                *endpoint.executable,
                "--log-level=error",
                "system",
                "service",
                f"--time={IDLE_SECONDS}",
                endpoint.url,
            ]
            process = proc.spawn_detached(argv, output)
        _started.append(process)
        while time.monotonic() < deadline:
            if path.exists():
                _hand_over(endpoint, path)
                version = ping(endpoint.url, 2.0)
                if version is not None:
                    return version
            if process.poll() is not None:
                raise _start_error(log, f"it ended with status {process.returncode}")
            time.sleep(0.005)
        raise _start_error(log, f"it did not answer within {timeout:.0f} s")


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
    if isinstance(error, EngineUnavailable):
        return error
    return EngineUnavailable(
        f"Podman's service could not be started: {what}{': ' + said if said else ''}. "
        "Try 'podman info', or `tesseract doctor`."
    )
