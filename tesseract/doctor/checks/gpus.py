"""GPUs: CDI specifications, and whether what they name is really there."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tesseract.backends import cdi
from tesseract.doctor.model import Check, Finding, Machine, error, note, ok, warning


@dataclass(frozen=True)
class Probe:
    """`driver`: version of the loaded NVIDIA driver. `devices`: full CDI names. `missing_nodes`: named, but not there.

    `own_specs`: specifications in the user's own directory, which Podman reads from 5.5 on. `unread`: what engines pass
    over, with what to do.
    """

    driver: str | None
    devices: tuple[str, ...]
    missing_nodes: tuple[str, ...] = ()
    own_specs: bool = False
    podman: tuple[int, ...] = ()
    unread: tuple[str, ...] = ()


def _version(machine: Machine) -> tuple[int, ...]:
    text = (machine.podman_info.get("version") or {}).get("Version") or "0"
    return tuple(int(part) for part in text.split("-")[0].split("+")[0].split(".") if part.isdigit())


class Gpus(Check[Probe]):
    name = "gpus"
    title = "GPUs (CDI)"

    def probe(self, machine: Machine) -> Probe:
        version = _version(machine)
        found = cdi.read_specs(cdi.spec_dirs(version, machine.environ))
        own = cdi.user_dir(machine.environ)
        nodes = sorted({node for spec in found.specs for nodes in spec.nodes.values() for node in nodes})
        driver = machine.read("/proc/driver/nvidia/version")
        return Probe(
            driver.splitlines()[0] if driver else None,
            tuple(name for spec in found.specs for name in spec.names),
            tuple(node for node in nodes if not os.path.exists(node)),
            own is not None and own.is_dir() and any(own.iterdir()),
            version,
            found.unread,
        )

    def judge(self, probe: Probe) -> Finding:
        if probe.unread:
            judge = warning if probe.devices else error
            what, _, remedy = probe.unread[0].partition(". ")
            return judge(f"{what}, so engines pass over it", remedy)
        if not probe.devices:
            if probe.own_specs and probe.podman < (5, 5):
                return warning(
                    "the CDI specifications in your own directory are not read before Podman 5.5",
                    f"Ask an administrator for: {cdi.generate()}",
                )
            if probe.driver is None:
                return note("none (no CDI specification, no NVIDIA driver)")
            own = "nvidia-ctk cdi generate --output=$XDG_RUNTIME_DIR/cdi/nvidia.yaml"
            how = f"Run: {own}" if probe.podman >= (5, 5) else f"Ask an administrator for: {cdi.generate()}"
            return error("a driver is loaded, but no CDI specification offers its GPUs: --gpus would fail", how)
        if probe.missing_nodes:
            return error(
                f"the CDI specification is stale: {', '.join(probe.missing_nodes)} is not there",
                f"Renew it: {cdi.generate()}",
            )
        return ok(", ".join(probe.devices))


CHECK = Gpus()
