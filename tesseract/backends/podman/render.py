"""A `ContainerSpec` in Podman's words, twice: as payload of libpod's create request, as arguments of `podman create`.

Both are pure and say the same; the second is used where the user gives engine arguments of their own, which no API
takes. Everything is hardened: no capabilities, no new privileges, an init process (so that signals arrive), and no
restart policy (a container that crashes at once under one deadlocks podman 4.3).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tesseract.backends import variables
from tesseract.backends.podman.identity import Identity, identity
from tesseract.backends.spec import LOG_MEGABYTES, ContainerSpec, Mount, NetworkAttachment
from tesseract.backends.text import memory_bytes

KEEP_GROUPS = "run.oci.keep_original_groups"
# Podman 4.3 leaves these read-only under a read-only root when the container is made over its API.
_WRITABLE = ("/tmp", "/var/tmp", "/run")


def create_payload(
    spec: ContainerSpec,
    *,
    rootless: bool,
    has_groups: bool = False,
    gpus: Sequence[str] = (),
    log_driver: str = "k8s-file",
) -> dict[str, Any]:
    """The body of `POST /libpod/containers/create`; one text for podman 4.3 and 5.

    Args:
        spec: What is wanted; mounts already completed (`backends.mounts`).
        rootless: Whether the engine runs without root.
        has_groups: Whether the caller has supplementary groups.
        gpus: CDI device names.
        log_driver: `none` where the output is read while it runs.
    """
    who = identity(spec.user, rootless, has_groups)
    payload: dict[str, Any] = {
        "name": spec.name,
        "image": spec.image,
        "command": list(spec.command),
        "env": dict(spec.env),
        "labels": dict(spec.labels),
        "init": True,
        "cap_drop": ["ALL"],
        "no_new_privileges": True,
        "stop_timeout": spec.stop_timeout,
        "log_configuration": _log_payload(log_driver),
        "mounts": [_mount_payload(mount) for mount in _mounts(spec) if mount.kind != "volume"],
        "volumes": [_volume_payload(mount) for mount in spec.mounts if mount.kind == "volume"],
        **_network_payload(spec.network),
        **_identity_payload(who),
    }
    if spec.entrypoint is not None:
        payload["entrypoint"] = list(spec.entrypoint)
    if spec.network.mode not in ("host", "none"):
        payload["portmappings"] = [
            {
                "container_port": port.container_port,
                "host_ip": port.host_ip,
                "host_port": port.host_port,
                "protocol": "tcp",
            }
            for port in spec.ports
        ]
    if gpus:
        payload["devices"] = [{"path": name} for name in gpus]
    if spec.memory:
        limit = memory_bytes(spec.memory)
        payload["resource_limits"] = {"memory": {"limit": limit, "swap": 2 * limit}}
    if spec.shm_size:
        payload["shm_size"] = memory_bytes(spec.shm_size)
    if spec.extra_hosts:
        payload["hostadd"] = [f"{name}:{ip}" for name, ip in spec.extra_hosts.items()]
    if spec.read_only_root:
        payload["read_only_filesystem"] = True
    if spec.remove:
        payload["remove"] = True
    return payload


def create_arguments(
    spec: ContainerSpec,
    *,
    rootless: bool,
    has_groups: bool = False,
    gpus: Sequence[str] = (),
    log_driver: str = "k8s-file",
) -> list[str]:
    """The words after the executable: `create ... RAW... IMAGE COMMAND`. Arguments as in `create_payload`."""
    who = identity(spec.user, rootless, has_groups)
    words = ["create", f"--name={spec.name}", "--pull=never", "--init", "--cap-drop=all"]
    words += [
        "--security-opt=no-new-privileges",
        f"--stop-timeout={spec.stop_timeout}",
        *_log_arguments(spec, log_driver),
    ]
    words += variables.words(spec.env)
    words += [f"--label={name}={value}" for name, value in spec.labels.items()]
    if who.user:
        words.append(f"--user={who.user}")
    if who.userns:
        words.append(f"--userns={who.userns}")
    if who.keep_groups:
        words.append(f"--annotation={KEEP_GROUPS}=1")
    words += [_mount_argument(mount) for mount in _mounts(spec)]
    if not _sets_network(spec.raw_args):
        words += _network_arguments(spec.network)
    if spec.network.mode not in ("host", "none"):
        words += [
            f"--publish={_bracketed(port.host_ip)}:{port.host_port or ''}:{port.container_port}" for port in spec.ports
        ]
    words += [f"--device={name}" for name in gpus]
    if spec.memory:
        words.append(f"--memory={memory_bytes(spec.memory)}b")
    if spec.shm_size:
        words.append(f"--shm-size={memory_bytes(spec.shm_size)}b")
    words += [f"--add-host={name}:{ip}" for name, ip in spec.extra_hosts.items()]
    if spec.read_only_root:
        words.append("--read-only")
    if spec.remove:
        words.append("--rm")
    if spec.entrypoint is not None:
        words.append(f"--entrypoint={json.dumps(list(spec.entrypoint))}")
    return [*words, *spec.raw_args, spec.image, *spec.command]


def _log_payload(driver: str) -> dict[str, Any]:
    return {"driver": driver, **({} if driver == "none" else {"size": LOG_MEGABYTES * 1_000_000})}


def _log_arguments(spec: ContainerSpec, driver: str) -> list[str]:
    if driver == "none" or any(word.split("=")[0] == "--log-driver" for word in spec.raw_args):
        return [f"--log-driver={driver}"]  # the user's own may not know our option
    return [f"--log-driver={driver}", f"--log-opt=max-size={LOG_MEGABYTES}mb"]


def _mounts(spec: ContainerSpec) -> list[Mount]:
    mounts = list(spec.mounts)
    if spec.read_only_root:
        taken = {mount.target for mount in mounts}
        home = spec.env.get("HOME")
        wanted = [*_WRITABLE, *([home] if home and home not in _WRITABLE else [])]
        mounts += [Mount("tmpfs", "", path, options=("mode=1777",)) for path in wanted if path not in taken]
    return mounts


def _mount_payload(mount: Mount) -> dict[str, Any]:
    if mount.kind == "tmpfs":
        return {"type": "tmpfs", "source": "tmpfs", "destination": mount.target, "options": ["rw", *mount.options]}
    mode = "ro" if mount.read_only else "rw"
    return {
        "type": "bind",
        "source": mount.source,
        "destination": mount.target,
        "options": [mode, "rbind", *mount.options],
    }


def _volume_payload(mount: Mount) -> dict[str, Any]:
    options = [*(["ro"] if mount.read_only else []), *mount.options]
    return {"Name": mount.source, "Dest": mount.target, **({"Options": options} if options else {})}


def _mount_argument(mount: Mount) -> str:
    if mount.kind == "tmpfs":
        return f"--tmpfs={mount.target}" + (f":{','.join(mount.options)}" if mount.options else "")
    mode = ["ro" if mount.read_only else "rw", *mount.options]
    if ":" in mount.source + mount.target:  # which --volume could not tell from its separators
        return f"--mount=type={mount.kind},source={mount.source},target={mount.target},{','.join(mode)}"
    return f"--volume={mount.source}:{mount.target}:{','.join(mode)}"


def _network_payload(network: NetworkAttachment) -> dict[str, Any]:
    if network.mode == "default":
        return {}
    if network.mode in ("host", "none"):
        return {"netns": {"nsmode": network.mode}}
    if network.mode == "named":
        # Aliases count only together with the bridge mode.
        return {"netns": {"nsmode": "bridge"}, "networks": {network.name: {"aliases": list(network.aliases)}}}
    nsmode, _, value = (network.name or "").partition(":")
    if nsmode in ("slirp4netns", "pasta"):
        options = {"network_options": {nsmode: value.split(",")}} if value else {}
        return {"netns": {"nsmode": nsmode}, **options}
    nsmode = {"ns": "path"}.get(nsmode, nsmode)
    return {"netns": {"nsmode": nsmode, **({"value": value} if value else {})}}


def _network_arguments(network: NetworkAttachment) -> list[str]:
    if network.mode == "default":
        return []
    name = network.mode if network.mode in ("host", "none") else network.name
    return [f"--network={name}", *(f"--network-alias={alias}" for alias in network.aliases)]


def _sets_network(raw: Sequence[str]) -> bool:
    """Podman adds up networks instead of taking the last: the user's choice has to replace ours."""
    return any(word.split("=")[0] in ("--network", "--net") for word in raw)


def _identity_payload(who: Identity) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    if who.user:
        payload["user"] = who.user
    if who.nsmode:
        payload["userns"] = {"nsmode": who.nsmode, **({"value": who.value} if who.value else {})}
    if who.keep_groups:
        payload["annotations"] = {KEEP_GROUPS: "1"}
    return payload


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip
