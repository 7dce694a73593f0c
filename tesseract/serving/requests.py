"""What callers (CLI, SDK, facade) ask for, as they said it. `plan` turns a request into a `ContainerSpec`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tesseract.backends.spec import ContainerInfo
from tesseract.errors import UserError
from tesseract.serving import values

if TYPE_CHECKING:
    from tesseract.transfer.output import Output

DEFAULT_STARTUP_TIMEOUT = 30.0

# How the fields are read that a Python caller may pass in another type.
_READERS: dict[str, Callable[[str, object], Any]] = {
    **dict.fromkeys(("network", "network_alias", "user", "userns", "memory", "shm_size", "output_format"), values.text),
    **dict.fromkeys(("host_ip", "port", "token", "gpu_transport", "output_file"), values.text),
    **dict.fromkeys(("volumes", "gpus", "args", "allowed_hosts", "allowed_origins"), values.texts),
    **dict.fromkeys(("input_path", "output_path"), values.path),
    "engine_args": values.words,
    "environment": values.variables,
    "ports": values.variables,
    "runtime_config": values.mapping,
    "num_workers": values.whole,
    "startup_timeout": values.seconds,
}


@dataclass(frozen=True, kw_only=True)
class ContainerRequest:
    """What serving and one-shot runs have in common.

    Attributes:
        image: Name or id of a Tesseract image in the local store.
        volumes: `source:target[:mode]`; the mode is `ro` unless given.
        environment: Variables for the container.
        gpus: Indices, UUIDs, CDI names, or `all`.
        network: Network name (created on demand), `host`, `none`, or an engine's own mode.
        user: `UID[:GID]` inside the container; the caller's own if not given.
        userns: `host` for the engine's default mapping, or an engine's own mode.
        memory: Limit in engine syntax (`512m`, `2g`).
        shm_size: Size of `/dev/shm` in the same syntax; 64 MiB by default.
        input_path: Directory that appears read-only at `/tesseract/input_data`, or a URL of what is fetched into one.
        output_path: Directory (made if missing) that appears at `/tesseract/output_data`, or a URL where its files go.
        output_format: `json`, `json+base64` or `json+binref`.
        debug: Tracebacks and the `test` endpoint for clients.
        debugger: Also a debugger that waits for a client; code execution for whoever reaches its port.
        read_only_root: Read-only root file system (with writable /tmp and HOME).
        engine_args: Raw arguments for the engine, appended last.
        owner: Process that the container belongs to (`process.current()`), or `None` if it outlives its maker.
    """

    image: str
    volumes: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    gpus: Sequence[str] = ()
    network: str | None = None
    user: str | None = None
    userns: str | None = None
    memory: str | None = None
    shm_size: str | None = None
    input_path: str | Path | None = None
    output_path: str | Path | None = None
    output_format: str | None = None
    debug: bool = False
    debugger: bool = False
    read_only_root: bool = False
    engine_args: Sequence[str] = ()
    owner: str | None = None

    def __post_init__(self) -> None:
        for name, read in _READERS.items():
            if hasattr(self, name):
                object.__setattr__(self, name, read(name, getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class ServeRequest(ContainerRequest):
    """A Tesseract that stays up and answers HTTP.

    Attributes:
        host_ip: Address that the published ports bind to; `0.0.0.0` is all of them.
        port: `8000`, an inclusive range `8000-8010`, or `None`: the engine chooses a free one.
        network_alias: DNS name in `network` under which other containers reach this one at port 8000.
        num_workers: Server processes.
        runtime_config: Settings of the runtime; become `TESSERACT_<KEY>` and beat `environment`.
        gpu_transport: `none`; nothing else is offered so far.
        skip_health_check: Return right after the start.
        startup_timeout: Seconds for everything until the first healthy answer, engine calls included.
        socket: Listen on a Unix socket that only the caller can reach, instead of a TCP port.
        token: Bearer token that clients must send; `auto` makes one.
        allowed_hosts: Further values accepted in the Host header; `*` switches the check off.
        allowed_origins: Web pages of other sites that may call, as `https://host:port`; `*` are all of them.
    """

    host_ip: str = "127.0.0.1"
    port: str | None = None
    network_alias: str | None = None
    num_workers: int = 1
    runtime_config: Mapping[str, object] = field(default_factory=dict)
    gpu_transport: str | None = None
    skip_health_check: bool = False
    startup_timeout: float | None = DEFAULT_STARTUP_TIMEOUT
    socket: bool = False
    token: str | None = None
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class RunRequest(ContainerRequest):
    """One command of `tesseract-runtime` in a container that is removed afterwards.

    Attributes:
        command: Runtime command (`apply`, `check-gradients`, ...).
        args: Its arguments. One that starts with `@` is read on the host: `@path`, `@scheme://...`, or `@-` (stdin).
        ports: Host port (or `ip:port`) -> container port.
        output_file: Name below the output path that takes the result instead of stdout.
        profiling, tracing: Switch the runtime's profiler or tracer on.
    """

    command: str
    args: Sequence[str] = ()
    ports: Mapping[str, str] = field(default_factory=dict)
    output_file: str | None = None
    profiling: bool = False
    tracing: bool = False


@dataclass(frozen=True)
class Served:
    """A Tesseract that is up.

    Attributes:
        container_name: Name to use for teardown.
        container: The container as read back from the engine.
        url: Base URL for clients, `http://ip:port` or `http+unix://<percent-encoded socket path>`; `None` where
            nothing on this host can reach it (network `none` without a socket).
        socket: Path of the Unix socket, if asked for.
        token: Bearer token that clients must send, if any.
        debugger: `ip:port` where a debugger can attach, if asked for.
        output: Its output, if that belongs at a URL.
    """

    container_name: str
    container: ContainerInfo
    url: str | None
    socket: str | None = None
    token: str | None = None
    debugger: str | None = None
    output: Output | None = None


@dataclass(frozen=True)
class RunResult:
    """How a one-shot container ended.

    Attributes:
        problem: Why its output could not be uploaded, if so; the message says where it is.
    """

    exit_status: int
    container: ContainerInfo
    problem: UserError | None = None
