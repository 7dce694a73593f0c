"""A `ContainerSpec` in Docker's words, twice: as body of `POST /containers/create`, as arguments of `docker create`.

Hardened like the Podman driver's: no capabilities, no new privileges, an init process, no restart policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tesseract.backends import variables
from tesseract.backends.docker.gpus import DeviceRequest
from tesseract.backends.docker.identity import identity
from tesseract.backends.spec import LOG_MEGABYTES, ContainerSpec, Mount, NetworkAttachment
from tesseract.backends.text import memory_bytes

_WRITABLE = ("/tmp", "/var/tmp", "/run")
_TMPFS = "mode=1777"
# The newest half is there in any case.
_LOG_DRIVER = "json-file"
_LOG_OPTIONS = {"max-size": f"{LOG_MEGABYTES // 2}m", "max-file": "2"}


def create_payload(
    spec: ContainerSpec, *, rootless: bool, groups: Sequence[int] = (), gpus: DeviceRequest | None = None
) -> dict[str, Any]:
    """The body of `POST /containers/create`.

    Args:
        spec: What is wanted; mounts already completed (`backends.mounts`).
        rootless: Whether the daemon runs without root.
        groups: The caller's supplementary groups.
        gpus: GPUs in the daemon's way of asking.
    """
    who = identity(spec.user, rootless, groups)
    host: dict[str, Any] = {
        "Init": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "NetworkMode": _network_mode(spec.network),
        "Mounts": [mount_payload(mount) for mount in spec.mounts if mount.kind != "tmpfs" and not mount.options],
        # Only this older notation takes options; it would create a missing source, so it is used for nothing else.
        "Binds": [_bind(mount) for mount in spec.mounts if mount.kind != "tmpfs" and mount.options],
        "Tmpfs": _tmpfs(spec),
        "AutoRemove": spec.remove,
        "LogConfig": {"Type": _LOG_DRIVER, "Config": _LOG_OPTIONS},
    }
    payload: dict[str, Any] = {
        "Image": spec.image,
        "Cmd": list(spec.command),
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Labels": dict(spec.labels),
        "StopTimeout": spec.stop_timeout,
        "HostConfig": host,
    }
    if spec.entrypoint is not None:
        payload["Entrypoint"] = list(spec.entrypoint)
    if who.user:
        payload["User"] = who.user
    if who.groups:
        host["GroupAdd"] = list(who.groups)
    if who.userns:
        host["UsernsMode"] = who.userns
    if spec.ports and spec.network.mode not in ("host", "none"):
        bindings: dict[str, list[dict[str, str]]] = {}
        for port in spec.ports:
            binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port or "")}
            bindings.setdefault(f"{port.container_port}/tcp", []).append(binding)
        payload["ExposedPorts"] = {name: {} for name in bindings}
        host["PortBindings"] = bindings
    if spec.network.mode == "named":
        payload["NetworkingConfig"] = {"EndpointsConfig": {spec.network.name: {"Aliases": list(spec.network.aliases)}}}
    if gpus is not None:
        host["DeviceRequests"] = [gpus.payload()]
    if spec.memory:
        host["Memory"] = memory_bytes(spec.memory)
        host["MemorySwap"] = 2 * host["Memory"]
    if spec.shm_size:
        host["ShmSize"] = memory_bytes(spec.shm_size)
    if spec.extra_hosts:
        host["ExtraHosts"] = [f"{name}:{ip}" for name, ip in spec.extra_hosts.items()]
    if spec.read_only_root:
        host["ReadonlyRootfs"] = True
    return payload


def create_arguments(
    spec: ContainerSpec, *, rootless: bool, groups: Sequence[int] = (), gpus: DeviceRequest | None = None
) -> list[str]:
    """The words after the executable: `create ... RAW... IMAGE COMMAND`. Arguments as in `create_payload`."""
    who = identity(spec.user, rootless, groups)
    words = ["create", f"--name={spec.name}", "--init", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    words.append(f"--stop-timeout={spec.stop_timeout}")
    if not any(word.split("=")[0] == "--log-driver" for word in spec.raw_args):  # which may not know our options
        words += [f"--log-driver={_LOG_DRIVER}", *(f"--log-opt={name}={value}" for name, value in _LOG_OPTIONS.items())]
    words += variables.words(spec.env)
    words += [f"--label={name}={value}" for name, value in spec.labels.items()]
    if who.user:
        words.append(f"--user={who.user}")
    words += [f"--group-add={group}" for group in who.groups]
    if who.userns:
        words.append(f"--userns={who.userns}")
    words += [_mount_argument(mount) for mount in spec.mounts if mount.kind != "tmpfs"]
    words += [f"--tmpfs={path}" + (f":{options}" if options else "") for path, options in _tmpfs(spec).items()]
    # Docker adds networks up: the user's choice has to replace ours.
    if not any(word.split("=")[0] in ("--network", "--net") for word in spec.raw_args):
        words.append(f"--network={_network_mode(spec.network)}")
        words += [f"--network-alias={alias}" for alias in spec.network.aliases]
    if spec.network.mode not in ("host", "none"):
        words += [f"--publish={port.host_ip}:{port.host_port or ''}:{port.container_port}" for port in spec.ports]
    if gpus is not None:
        words += gpus.arguments()
    if spec.memory:
        words.append(f"--memory={memory_bytes(spec.memory)}")
    if spec.shm_size:
        words.append(f"--shm-size={memory_bytes(spec.shm_size)}")
    words += [f"--add-host={name}:{ip}" for name, ip in spec.extra_hosts.items()]
    if spec.read_only_root:
        words.append("--read-only")
    if spec.remove:
        words.append("--rm")
    command = list(spec.command)
    if spec.entrypoint is not None:
        # Docker takes one word here; the others go before the arguments.
        first, *rest = spec.entrypoint
        words.append(f"--entrypoint={first}")
        command = [*rest, *command]
    return [*words, *spec.raw_args, spec.image, *command]


def _network_mode(network: NetworkAttachment) -> str:
    if network.mode in ("host", "none"):
        return network.mode
    return network.name or "bridge" if network.mode in ("named", "raw") else "bridge"


def mount_payload(mount: Mount) -> dict[str, Any]:
    return {"Type": mount.kind, "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}


def _bind(mount: Mount) -> str:
    mode = ",".join(["ro" if mount.read_only else "rw", *mount.options])
    return f"{mount.source}:{mount.target}:{mode}"


def _mount_argument(mount: Mount) -> str:
    if mount.options:
        return f"--volume={_bind(mount)}"
    read_only = ",readonly" if mount.read_only else ""
    return f"--mount=type={mount.kind},source={mount.source},target={mount.target}{read_only}"


def _tmpfs(spec: ContainerSpec) -> dict[str, str]:
    found = {mount.target: ",".join(mount.options) for mount in spec.mounts if mount.kind == "tmpfs"}
    if spec.read_only_root:
        taken = {mount.target for mount in spec.mounts}
        home = spec.env.get("HOME")
        for path in (*_WRITABLE, *([home] if home else [])):
            if path not in taken:
                found.setdefault(path, _TMPFS)
    return found
