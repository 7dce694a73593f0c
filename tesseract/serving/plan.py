"""From a request to a `ContainerSpec`: everything that can be decided without an engine.

Pure: the host's part of the decision comes in as `Host`. The order of precedence in the environment is, weakest
first: the image, `environment`, `runtime_config`, then what an explicit option says.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tesseract_core.client.encoding import check_gpu_transport

from tesseract.backends.spec import ContainerSpec, GpuRequest, Mount, NetworkAttachment, PortBinding, UserMapping
from tesseract.errors import InvalidValue
from tesseract.serving import labels, runtime_settings
from tesseract.serving.checks import check_kept, check_size, engine_name, engine_words
from tesseract.serving.requests import ContainerRequest, RunRequest, ServeRequest
from tesseract.serving.volumes import check_unique, parse_volume

API_PORT = 8000
DEBUGGER_PORT = 5678
INPUT_DIR = "/tesseract/input_data"
OUTPUT_DIR = "/tesseract/output_data"
SOCKET_DIR = "/run/tesseract"
SOCKET_NAME = "api.sock"
OUTPUT_FORMATS = ("json", "json+base64", "json+binref")

_GPU_TRANSPORT = "TESSERACT_GPU_TRANSPORT"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Modes of `--network` that are no network's name. Everything an engine understands by itself is passed through.
_RAW_NETWORK_MODES = ("bridge", "private", "pasta", "slirp4netns")
_RAW_NETWORK_PREFIXES = ("ns:", "container:", "pasta:", "slirp4netns:")


@dataclass(frozen=True)
class Host:
    """What a plan needs to know about the machine and the caller.

    Attributes:
        uid, gid: The caller's.
        cwd: Where relative paths start.
        names: This machine's host names, for the Host header check of a server that others can reach.
        port: Host port for the API; 0 lets the engine choose.
        debugger_port: The same for the debugger.
        socket_dir: Directory on the host for the Unix socket, if one is asked for.
        engine_args: Raw engine arguments of the host's settings; a request's own come after them and win.
    """

    uid: int
    gid: int
    cwd: Path
    names: tuple[str, ...] = ()
    port: int = 0
    debugger_port: int = 0
    socket_dir: Path | None = None
    engine_args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Payload:
    """Arguments for a runtime command, and the files that carry what is not in them.

    Attributes:
        fetched: Whether one of them comes from a URL, so that others have written it.
    """

    args: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    fetched: bool = False


def new_name() -> str:
    """A name for a container that nobody else has."""
    return f"tesseract-{secrets.token_hex(6)}"


def is_our_name(name: str) -> bool:
    """Whether `new_name` may have made it."""
    return re.fullmatch(r"tesseract-[0-9a-f]{12}", name) is not None


def serve_spec(request: ServeRequest, image: str, name: str, host: Host) -> ContainerSpec:
    """The container that serves `image` (an id or reference that exists). Raises: InvalidValue."""
    network = parse_network(request.network, request.network_alias)
    on_host = network.mode == "host"
    bind_ip = request.host_ip if on_host else "0.0.0.0"
    api_port = host.port if on_host else API_PORT
    debugger_port = _debugger_port(request, host, on_host)

    env = _environment(request)
    env |= runtime_settings.as_variables(request.runtime_config)
    env |= _option_variables(request)
    env[_GPU_TRANSPORT] = _gpu_transport(request.gpu_transport, env)
    env["TESSERACT_ALLOWED_HOSTS"] = ",".join(_allowed_hosts(request, name, network, host, env))
    if request.allowed_origins:
        named = env.get("TESSERACT_ALLOWED_ORIGINS", "").split(",")
        env["TESSERACT_ALLOWED_ORIGINS"] = ",".join(filter(None, dict.fromkeys([*request.allowed_origins, *named])))
    if request.token:
        env["TESSERACT_TOKEN"] = request.token
    if request.debugger:
        env |= {"TESSERACT_DEBUGPY_HOST": bind_ip, "TESSERACT_DEBUGPY_PORT": str(debugger_port)}

    mounts = _mounts(request, host)
    command = ["serve", "--port", str(api_port)]
    if request.num_workers > 1:
        command += ["--num-workers", str(request.num_workers)]
    command += ["--host", bind_ip]
    extra_labels = {labels.HOST_IP: request.host_ip}
    if host.socket_dir is not None:
        mounts.append(Mount("bind", str(host.socket_dir), SOCKET_DIR))
        command += ["--uds", f"{SOCKET_DIR}/{SOCKET_NAME}"]
        extra_labels[labels.SOCKET] = str(host.socket_dir / SOCKET_NAME)
    check_unique(mounts)

    ports: list[PortBinding] = []
    if network.mode not in ("host", "none"):
        if host.socket_dir is None:
            ports.append(PortBinding(API_PORT, request.host_ip, host.port))
        if request.debugger:
            ports.append(PortBinding(debugger_port, request.host_ip, host.debugger_port))
    common = _common(request, host, image, name)
    return replace(
        common,
        command=tuple(command),
        env=env,
        labels={**common.labels, **extra_labels},
        mounts=tuple(mounts),
        ports=tuple(ports),
        network=network,
    )


def run_spec(request: RunRequest, image: str, name: str, host: Host, payload: Payload) -> ContainerSpec:
    """The container that runs one command of the runtime and goes. Raises: InvalidValue."""
    network = parse_network(request.network)
    env = _environment(request) | _option_variables(request)
    _gpu_transport(None, env)
    if request.output_file:
        env["TESSERACT_OUTPUT_FILE"] = request.output_file
    if request.profiling:
        env["TESSERACT_PROFILING"] = "1"
    if request.tracing:
        env["TESSERACT_TRACING"] = "1"
    env |= _readable(request, payload)
    ports = [published(host_port, container_port) for host_port, container_port in request.ports.items()]
    if request.debugger:
        on_host = network.mode == "host"
        port = _debugger_port(request, host, on_host)
        env["TESSERACT_DEBUGPY_HOST"] = "127.0.0.1" if on_host else "0.0.0.0"
        env["TESSERACT_DEBUGPY_PORT"] = str(port)
        if network.mode not in ("host", "none"):
            ports.append(PortBinding(port, "127.0.0.1", host.debugger_port))
    mounts = [*_mounts(request, host), *payload.mounts]
    check_unique(mounts)
    if request.output_file and not (host.engine_args or request.engine_args):
        check_kept(request.output_file, env.get("TESSERACT_OUTPUT_PATH", OUTPUT_DIR), mounts)
    common = _common(request, host, image, name)
    return replace(
        common,
        # It is removed in any case, but not before its last state has been read.
        raw_args=tuple(word for word in common.raw_args if word != "--rm"),
        command=(request.command, *payload.args),
        env=env,
        mounts=tuple(mounts),
        ports=tuple(ports),
        network=network,
    )


def parse_network(name: str | None, alias: str | None = None) -> NetworkAttachment:
    """Which kind of network `--network` means. Raises: InvalidValue for an alias without a named network."""
    if not name or name == "default":
        network = NetworkAttachment()
    elif name in ("host", "none"):
        network = NetworkAttachment(mode="host" if name == "host" else "none")
    elif name in _RAW_NETWORK_MODES or name.startswith(_RAW_NETWORK_PREFIXES):
        network = NetworkAttachment(mode="raw", name=name)
    else:
        network = NetworkAttachment(mode="named", name=name, aliases=(alias,) if alias else ())
    if alias and network.mode != "named":
        raise InvalidValue("Network alias can only be used with a specified network.")
    return network


def parse_user(text: str | None, caller_uid: int, caller_gid: int, userns: str | None = None) -> UserMapping:
    """`UID[:GID]`; a root user has the root group, any other keeps the group that the engine's rule gives it.

    Raises: InvalidValue.
    """
    if text is None:
        return UserMapping(caller_uid, caller_gid, userns=userns)
    if not re.fullmatch(r"[0-9]{1,10}(:[0-9]{1,10})?", text):
        raise InvalidValue(f"Invalid user '{text}': must be numeric UID or UID:GID, for example 1000:1000.")
    uid, _, gid = text.partition(":")
    wanted_gid = int(gid) if gid else (0 if int(uid) == 0 else None)
    return UserMapping(caller_uid, caller_gid, int(uid), wanted_gid, userns)


def _common(request: ContainerRequest, host: Host, image: str, name: str) -> ContainerSpec:
    check_size("memory limit", request.memory, zero=True)
    check_size("size of shared memory", request.shm_size)
    raw_args = engine_words((*host.engine_args, *request.engine_args))
    return ContainerSpec(
        image=image,
        name=name,
        labels=labels.of_container(engine_name(raw_args) or name, host.uid, request.owner),
        user=parse_user(request.user, host.uid, host.gid, request.userns),
        gpus=GpuRequest(tuple(request.gpus)) if request.gpus else None,
        memory=request.memory,
        shm_size=request.shm_size,
        read_only_root=request.read_only_root,
        raw_args=raw_args,
    )


def _mounts(request: ContainerRequest, host: Host) -> list[Mount]:
    mounts = [parse_volume(spec, host.cwd) for spec in request.volumes]
    if request.input_path is not None:
        mounts.append(Mount("bind", _real_path(request.input_path, host), INPUT_DIR, read_only=True))
    if request.output_path is not None:
        mounts.append(Mount("bind", _real_path(request.output_path, host), OUTPUT_DIR))
    elif request.read_only_root and OUTPUT_DIR not in (mount.target for mount in mounts):
        mounts.append(Mount("tmpfs", "", OUTPUT_DIR, options=("mode=1777",)))  # each run writes its log there
    check_unique(mounts)
    return mounts


def _real_path(path: str | Path, host: Host) -> str:
    return os.path.realpath(host.cwd / Path(path).expanduser())


def _environment(request: ContainerRequest) -> dict[str, str]:
    for key, value in request.environment.items():
        if not key or "=" in key or "\0" in key + value:
            raise InvalidValue(f"Invalid environment variable name '{key}'.")
    return dict(request.environment)


def _option_variables(request: ContainerRequest) -> dict[str, str]:
    env: dict[str, str] = {}
    if request.input_path is not None:
        env["TESSERACT_INPUT_PATH"] = INPUT_DIR
    if request.output_path is not None:
        env["TESSERACT_OUTPUT_PATH"] = OUTPUT_DIR
    if request.output_format is not None:
        if request.output_format not in OUTPUT_FORMATS:
            raise InvalidValue(
                f"Invalid output format '{request.output_format}': must be one of {', '.join(OUTPUT_FORMATS)}."
            )
        if request.output_format == "json+binref" and request.output_path is None:
            raise InvalidValue(
                "Output format json+binref writes arrays to files and needs a place for them: give --output-path."
            )
        env["TESSERACT_OUTPUT_FORMAT"] = request.output_format
    if request.debug or request.debugger:
        env["TESSERACT_DEBUG"] = "1"
    if request.debug and not request.debugger:
        env["TESSERACT_DEBUGPY_PORT"] = "0"  # none: who reaches it can run code
    return env


def _readable(request: RunRequest, payload: Payload) -> dict[str, str]:
    """What the payload may read: see `tesseract_core.runtime.trust`, whose marks these are."""
    env: dict[str, str] = {}
    if request.volumes:  # the caller's own, for this one payload
        env["_TESSERACT_VOLUMES"] = ":".join(parse_volume(spec).target for spec in request.volumes)
    if payload.fetched:
        env["_TESSERACT_CLOSED"] = "1"
    return env


def _gpu_transport(chosen: str | None, env: Mapping[str, str]) -> str:
    chosen = chosen or env.get(_GPU_TRANSPORT) or "none"
    try:
        check_gpu_transport(chosen)
    except ValueError as error:
        raise InvalidValue(str(error)) from None
    return chosen


def _allowed_hosts(
    request: ServeRequest, name: str, network: NetworkAttachment, host: Host, env: Mapping[str, str]
) -> Sequence[str]:
    """Host header values that a client of this server may send; see the runtime's guard against DNS rebinding."""
    hosts = ["localhost", "127.0.0.1", request.host_ip, name, *network.aliases]
    if request.host_ip not in _LOOPBACK:
        hosts += [*host.names, "host.containers.internal"]
    hosts += [*request.allowed_hosts, *env.get("TESSERACT_ALLOWED_HOSTS", "").split(",")]
    return ["*"] if "*" in hosts else [item for item in dict.fromkeys(hosts) if item]


def _debugger_port(request: ServeRequest | RunRequest, host: Host, on_host: bool) -> int:
    """The port that the debugger binds in the container: the caller's choice, else ours."""
    chosen = _chosen(request, "PORT")
    api_port = host.port if on_host else API_PORT
    if chosen is None:
        return host.debugger_port if on_host else DEBUGGER_PORT
    if not chosen.isdigit() or int(chosen) == api_port:
        raise InvalidValue(f"TESSERACT_DEBUGPY_PORT={chosen}: must be a port number other than the API's {api_port}.")
    if not on_host and _chosen(request, "HOST") in _LOOPBACK:
        raise InvalidValue(
            "A debugger on a loopback address inside the container cannot be reached: leave TESSERACT_DEBUGPY_HOST out."
        )
    return int(chosen)


def _chosen(request: ServeRequest | RunRequest, what: str) -> str | None:
    env = dict(request.environment)
    if isinstance(request, ServeRequest):
        env |= runtime_settings.as_variables(request.runtime_config)
    return env.get(f"TESSERACT_RUNTIME_DEBUGPY_{what}") or env.get(f"TESSERACT_DEBUGPY_{what}")


def published(host_port: str, container_port: str) -> PortBinding:
    """A port mapping `[ip:]port` → port. Raises: InvalidValue."""
    ip, _, port = str(host_port).rpartition(":")
    try:
        return PortBinding(int(container_port), ip or "127.0.0.1", int(port))
    except ValueError:
        raise InvalidValue(f"Invalid port mapping {host_port}:{container_port}: must be [ip:]port to port.") from None
