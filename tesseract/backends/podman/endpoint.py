"""Where Podman's API is: what the user named, a socket that is there already, or a private service."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tesseract import proc
from tesseract.backends.podman import fresh
from tesseract.backends.podman.ping import ping
from tesseract.backends.runtime_dir import runtime_dir
from tesseract.errors import EngineUnavailable

DEFAULT_SOCKET = "podman.sock"
# What selects another store or configuration.
_STORE_VARIABLES = (
    "CONTAINERS_CONF",
    "CONTAINERS_CONF_OVERRIDE",
    "CONTAINERS_STORAGE_CONF",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
)


@dataclass(frozen=True)
class Endpoint:
    """How to reach Podman.

    Attributes:
        url: `unix:///path`, `tcp://host:port` or `ssh://...`.
        why: How it was found, for people.
        executable: The words that start Podman's command line, resolved; empty if there is none.
        private: Whether it is our own service, started on demand.
        remote: Whether Podman's command line has to be told the URL, because it would otherwise use a store of its own.
        identity: File of the private key for an `ssh://` URL, where one is configured.
    """

    url: str
    why: str
    executable: tuple[str, ...] = ()
    private: bool = False
    remote: bool = False
    identity: str | None = None

    @property
    def socket(self) -> Path | None:
        """Its Unix socket, if it has one."""
        scheme, _, path = self.url.partition("://")
        return Path(path) if scheme in ("unix", "http+unix") else None

    @property
    def command(self) -> list[str]:
        """The words that start Podman's command line on the same engine."""
        key = ["--identity", self.identity] if self.identity else []
        return [*self.executable, *(["--url", self.url, *key] if self.remote else [])]

    def reached_at(self) -> str:
        """The URL to talk to: behind SSH, that of a tunnel's end on this machine. Raises: EngineUnavailable."""
        if not self.url.startswith("ssh://"):
            return self.url
        from tesseract.backends.podman import tunnel

        return f"unix://{tunnel.local_socket(self.url, self.identity)}"


def find(executable: tuple[str, ...] | None, why: str, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Decide where to connect, without connecting further than a ping.

    Args:
        executable: The user's words for Podman (`podman --url ...`, `sudo podman`), or `None` for plain `podman`.
        why: Why Podman was chosen.

    Raises:
        EngineUnavailable: Podman is neither installed nor named by `CONTAINER_HOST`.
    """
    if os.environ.get("CONTAINER_HOST") == "":
        del os.environ["CONTAINER_HOST"]  # to Podman an empty one is no address; to everybody else it is none at all
    words = executable or _installed()
    named, plain = _connection_words(words) if words else (None, words)
    if named:
        why = f"{why}; connection of '{' '.join(words)}'"
        return Endpoint(named.url, why, plain, remote=True, identity=named.identity)
    if environ.get("CONTAINER_HOST"):
        key = environ.get("CONTAINER_SSHKEY") or None
        return Endpoint(environ["CONTAINER_HOST"], f"{why}; CONTAINER_HOST is set", plain, remote=True, identity=key)
    if not plain:
        raise EngineUnavailable(
            "Podman was not found, check if it is installed (Debian, Ubuntu: apt-get install podman uidmap "
            "slirp4netns; Fedora: dnf install podman), or point CONTAINER_HOST at a Podman socket."
        )
    name = _socket_name(plain, environ)
    if name == DEFAULT_SOCKET:  # a running service knows nothing of another store or other groups
        users = _users_socket()
        if users is not None and ping(f"unix://{users}", 2.0) is not None:
            return Endpoint(f"unix://{users}", f"{why}; the user's own socket answers", plain)
    path = runtime_dir(environ) / _socket_name(plain, environ, fresh.held())
    return Endpoint(f"unix://{path}", f"{why}; private service, started on demand", plain, private=True)


def _installed() -> tuple[str, ...]:
    found = shutil.which("podman")
    return (found,) if found else ()


def _users_socket() -> Path | None:
    base = "/run" if os.getuid() == 0 else os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    path = Path(base) / "podman/podman.sock"
    return path if path.exists() else None


def _socket_name(executable: tuple[str, ...], environ: Mapping[str, str], held: Sequence[str] = ()) -> str:
    """`podman.sock`, or another name for another store, configuration, set of groups or executable, and for limits that
    a service could not get rid of."""
    special = [f"{name}={environ[name]}" for name in _STORE_VARIABLES if environ.get(name)]
    groups = sorted({*os.getgroups(), os.getgid()})
    with suppress(KeyError):
        if groups != sorted(set(os.getgrouplist(pwd.getpwuid(os.getuid()).pw_name, os.getgid()))):
            special.append(f"groups={groups}")
    if executable != _installed():
        special.append(f"executable={executable}")
    special += held
    if not special:
        return DEFAULT_SOCKET
    return f"podman-{hashlib.sha256(chr(10).join(special).encode()).hexdigest()[:8]}.sock"


@dataclass(frozen=True)
class _Connection:
    url: str
    identity: str | None = None


def _connection_words(words: tuple[str, ...]) -> tuple[_Connection | None, tuple[str, ...]]:
    """Split `podman --remote|--url U|--connection C` into the connection it means and the words without it."""
    url: str | None = None
    name: str | None = None
    identity = os.environ.get("CONTAINER_SSHKEY") or None
    remote, plain = False, []
    rest = iter(words)
    for word in rest:
        option, _, value = word.partition("=")
        if option in ("--url", "--host", "-H"):
            url = value or next(rest, None)
        elif option in ("--connection", "-c"):
            name = value or next(rest, None)
        elif option == "--identity":
            identity = value or next(rest, None)
        elif option in ("--remote", "-r"):
            remote = value not in ("false", "0")
        else:
            plain.append(word)
    if url is None and remote and not name:
        url = os.environ.get("CONTAINER_HOST")
    if url is not None:
        return _Connection(url, identity), tuple(plain)
    return (_named_connection(tuple(plain), name) if name or remote else None), tuple(plain)


def _named_connection(words: tuple[str, ...], name: str | None) -> _Connection:
    done = proc.run([*words, "system", "connection", "list", "--format=json"], timeout=20)
    try:
        known = json.loads(done.stdout or b"[]") or []
    except ValueError:
        known = []
    for connection in known:
        if connection.get("Name") == name or (name is None and connection.get("Default")):
            return _Connection(str(connection["URI"]), connection.get("Identity") or None)
    if name is None and (users := _users_socket()) is not None:
        return _Connection(f"unix://{users}")
    wanted = f"no connection '{name}'" if name else "no default connection"
    raise EngineUnavailable(f"Podman knows {wanted}. See 'podman system connection list', or set CONTAINER_HOST.")
