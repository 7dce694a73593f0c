"""GPUs as CDI devices: what the specifications on this machine offer, and which names a request means.

Format: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tesseract.errors import GpuNotFound

KIND = "nvidia.com/gpu"
SYSTEM_DIRS = (Path("/etc/cdi"), Path("/var/run/cdi"))


@dataclass(frozen=True)
class CdiSpec:
    """One specification file.

    Attributes:
        kind: Vendor and class (`nvidia.com/gpu`).
        nodes: Name of each device, in the file's order → paths of all device nodes that a container with it gets.
    """

    path: Path
    kind: str
    nodes: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Full names, as engines take them."""
        return tuple(f"{self.kind}={device}" for device in self.nodes)


@dataclass(frozen=True)
class Specs:
    """What there is.

    Attributes:
        specs: Those that could be read.
        unread: One line for each file that could not, with what to do.
    """

    specs: tuple[CdiSpec, ...] = ()
    unread: tuple[str, ...] = ()


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


def read_specs(dirs: Iterable[Path]) -> Specs:
    """All specifications in the directories. Engines pass over what they cannot read; we do, and say so."""
    specs: list[CdiSpec] = []
    unread: list[str] = []
    for directory in dirs:
        try:
            paths = sorted(path for path in directory.iterdir() if path.suffix in (".yaml", ".yml", ".json"))
        except FileNotFoundError:
            continue
        except OSError as error:
            unread.append(f"{directory} cannot be read: {error.strerror}. Check its owner and mode.")
            continue
        for path in paths:
            try:
                specs.append(parse_spec(path, path.read_text()))
            except OSError as error:
                unread.append(f"{path} cannot be read: {error.strerror}. Make it readable: sudo chmod a+r {path}")
            except ValueError as error:
                unread.append(f"{path} is no valid CDI specification ({error}). Renew it: {generate(path)}")
    return Specs(tuple(specs), tuple(unread))


def parse_spec(path: Path, text: str) -> CdiSpec:
    """Parse one file. Raises: ValueError with the reason if it is no CDI specification."""
    document = _load(path, text)
    kind = _typed(_typed(document, dict, "the document").get("kind"), str, "kind")
    common = _device_nodes(document, "containerEdits")
    nodes = {}
    for device in _typed(document.get("devices") or [], list, "devices"):
        name = _typed(_typed(device, dict, "a device").get("name"), str | int, "the name of a device")
        nodes[str(name)] = tuple(dict.fromkeys([*common, *_device_nodes(device, f"containerEdits of {name}")]))
    return CdiSpec(path, kind, nodes)


def _device_nodes(holder: Mapping[str, Any], what: str) -> list[str]:
    edits = _typed(holder.get("containerEdits") or {}, dict, what)
    listed = _typed(edits.get("deviceNodes") or [], list, f"deviceNodes in {what}")
    nodes = [_typed(node, dict, f"a device node in {what}") for node in listed]
    return [_typed(node.get("hostPath") or node.get("path"), str, f"the path of a node in {what}") for node in nodes]


def _typed(value: Any, kind: Any, what: str) -> Any:
    if not isinstance(value, kind):
        words = {dict: "an object", list: "a list", str: "a text"}
        raise ValueError(f"{what} is not {words.get(kind, 'a name')}" if value is not None else f"{what} is missing")
    return value


def _load(path: Path, text: str) -> Any:
    try:
        if path.suffix == ".json":
            return json.loads(text)
        import yaml

        return yaml.safe_load(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    except Exception as error:  # YAML's own errors, and whatever its constructors raise for values of the wrong kind
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"line {mark.line + 1}: {said}" if mark else said) from error


def generate(path: Path = Path("/etc/cdi/nvidia.yaml")) -> str:
    """The command that makes a specification."""
    return f"sudo nvidia-ctk cdi generate --output={path}"


def full_name(device: str) -> str:
    """`0`, `GPU-8a5f...` or `all` as a CDI name; what contains `=` is one already."""
    return device if "=" in device else f"{KIND}={device}"


def resolve(devices: Iterable[str], found: Specs, exists: Callable[[str], bool] = os.path.exists) -> tuple[str, ...]:
    """The CDI names that a request means.

    Args:
        devices: Index, UUID, full CDI name or `all`.
        found: What the machine offers.
        exists: Whether a device node is there.

    Raises:
        GpuNotFound: A name that no specification offers, or a device whose nodes are gone; the message says which names
            there are, what could not be read, and how specifications are made. An unknown name must never mean
            "no GPU".
    """
    offered = {f"{spec.kind}={device}": (spec, nodes) for spec in found.specs for device, nodes in spec.nodes.items()}
    wanted = list(dict.fromkeys(full_name(device) for device in devices))
    for name in wanted:
        if name not in offered:
            raise GpuNotFound(_not_offered(name, offered, found.unread))
        spec, nodes = offered[name]
        if gone := [node for node in nodes if not exists(node)]:
            raise GpuNotFound(
                f"The GPU '{name}' has no device node {gone[0]} any more, which {spec.path} names: the specification "
                f"is out of date, or the driver is not loaded. Renew it: {generate(spec.path)}"
            )
    return tuple(wanted)


def _not_offered(name: str, offered: Iterable[str], unread: Iterable[str]) -> str:
    there = ", ".join(offered)
    if unread:
        known = f" (There are: {there}.)" if there else ""
        return f"No CDI specification offers the GPU '{name}'. {' '.join(unread)}{known}"
    known = f"there are: {there}" if there else "there is none on this machine"
    return f"No CDI specification offers the GPU '{name}' ({known}). Create or renew it: {generate()}"
