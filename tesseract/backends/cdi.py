"""GPUs as CDI devices: what the specifications on this machine offer, and which names a request means.

Format: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tesseract.errors import GpuNotFound

KIND = "nvidia.com/gpu"
SYSTEM_DIRS = (Path("/etc/cdi"), Path("/var/run/cdi"))
GENERATE = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"


@dataclass(frozen=True)
class CdiSpec:
    """One specification file.

    Attributes:
        kind: Vendor and class (`nvidia.com/gpu`).
        devices: Names of its devices, in the file's order.
        device_nodes: Paths of all device nodes that it injects.
    """

    path: Path
    kind: str
    devices: tuple[str, ...]
    device_nodes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Full names, as engines take them."""
        return tuple(f"{self.kind}={device}" for device in self.devices)


def user_dir(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where a user can keep specifications without root (podman >= 5.5)."""
    base = environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "cdi" if base else None


def spec_dirs(podman_version: tuple[int, ...] | None = None, environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Directories whose specifications the engine reads, weakest first."""
    dirs = list(SYSTEM_DIRS)
    own = user_dir(environ)
    if own is not None and podman_version is not None and podman_version >= (5, 5):
        dirs.append(own)
    return dirs


def version_tuple(text: str) -> tuple[int, ...]:
    """`(5, 5)` from `podman version 5.5.1`."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def read_specs(dirs: Iterable[Path]) -> list[CdiSpec]:
    """All specifications in the directories; unreadable and malformed files are left out, as engines do."""
    specs = []
    for directory in dirs:
        try:
            paths = sorted(path for path in directory.iterdir() if path.suffix in (".yaml", ".yml", ".json"))
        except OSError:
            continue
        for path in paths:
            try:
                specs.append(parse_spec(path, path.read_text()))
            except (OSError, ValueError):
                continue
    return specs


def parse_spec(path: Path, text: str) -> CdiSpec:
    """Parse one file. Raises: ValueError if it is no CDI specification."""
    document = _load(path, text)
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise ValueError(f"{path}: not a CDI specification")
    devices = [device for device in document.get("devices") or () if isinstance(device, dict) and "name" in device]
    edits = [document.get("containerEdits"), *(device.get("containerEdits") for device in devices)]
    nodes = [
        node.get("hostPath") or node.get("path") for edit in edits if edit for node in edit.get("deviceNodes") or ()
    ]
    return CdiSpec(
        path, document["kind"], tuple(str(device["name"]) for device in devices), tuple(dict.fromkeys(map(str, nodes)))
    )


def _load(path: Path, text: str) -> Any:
    if path.suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError(f"{path}: {exc}") from exc


def full_name(device: str) -> str:
    """`0`, `GPU-8a5f...` or `all` as a CDI name; what contains `=` is one already."""
    return device if "=" in device else f"{KIND}={device}"


def resolve(devices: Iterable[str], specs: Iterable[CdiSpec]) -> tuple[str, ...]:
    """The CDI names that a request means.

    Args:
        devices: Index, UUID, full CDI name or `all`.
        specs: What the machine offers.

    Raises:
        GpuNotFound: A name that no specification offers; the message says which names there are, and how
            specifications are made. An unknown name must never mean "no GPU".
    """
    offered = [name for spec in specs for name in spec.names]
    wanted = list(dict.fromkeys(full_name(device) for device in devices))
    for name in wanted:
        if name not in offered:
            there = f"there are: {', '.join(offered)}" if offered else "there is none on this machine"
            raise GpuNotFound(f"No CDI specification offers the GPU '{name}' ({there}). Create or renew it: {GENERATE}")
    return tuple(wanted)
