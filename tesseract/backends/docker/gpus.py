"""GPUs for Docker: as CDI devices where the daemon knows CDI, else by its own device requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tesseract.backends import cdi
from tesseract.errors import GpuNotFound


@dataclass(frozen=True)
class DeviceRequest:
    """What a daemon is asked for.

    Attributes:
        cdi: Whether `devices` are CDI names; else indices, UUIDs or `all`.
        devices: Their names.
    """

    cdi: bool
    devices: tuple[str, ...]

    def payload(self) -> dict[str, Any]:
        """As an element of `HostConfig.DeviceRequests`."""
        if self.cdi:
            return {"Driver": "cdi", "DeviceIDs": list(self.devices)}
        if "all" in self.devices:
            return {"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}
        return {"Driver": "", "DeviceIDs": list(self.devices), "Capabilities": [["gpu"]]}

    def arguments(self) -> list[str]:
        """As words of `docker create`."""
        if self.cdi:
            return [f"--device={name}" for name in self.devices]
        if "all" in self.devices:
            return ["--gpus=all"]
        return [f'--gpus="device={",".join(self.devices)}"']


def device_request(devices: Sequence[str], info: Mapping[str, Any], local: bool) -> DeviceRequest:
    """Choose the way of asking.

    Args:
        devices: Index, UUID, full CDI name or `all`.
        info: The daemon's `GET /info`; `CDISpecDirs` says that it knows CDI.
        local: Whether the daemon's files are this machine's.

    Raises:
        GpuNotFound: No specification offers a device, or the daemon cannot be asked for one by its CDI name.
    """
    dirs = [Path(directory) for directory in info.get("CDISpecDirs") or ()]
    if dirs:
        names = cdi.resolve(devices, cdi.read_specs(dirs)) if local else tuple(map(cdi.full_name, devices))
        return DeviceRequest(True, names)
    plain = []
    for device in devices:
        kind, separator, name = device.rpartition("=")
        if separator and kind != cdi.KIND:
            raise GpuNotFound(
                f"This Docker daemon knows no CDI, which '{device}' needs. Use Docker 25 or newer with the feature "
                "cdi enabled, or Podman."
            )
        plain.append(name)
    return DeviceRequest(False, tuple(plain))
