"""The OCI runtime: crun starts faster and keeps supplementary groups; runc does not."""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, error, ok, warning


@dataclass(frozen=True)
class Probe:
    name: str | None
    version: str = ""


class OciRuntime(Check[Probe]):
    name = "oci-runtime"
    title = "OCI runtime"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        runtime = machine.podman_info.get("host", {}).get("ociRuntime") or {}
        return Probe(
            runtime.get("name"), (runtime.get("version") or "").splitlines()[0] if runtime.get("version") else ""
        )

    def judge(self, probe: Probe) -> Finding:
        if probe.name is None:
            return error(
                "Podman could not tell (podman info failed)", "See the checks above, or install the package crun."
            )
        if probe.name != "crun":
            return warning(
                f"{probe.name}: slower starts, and your supplementary groups (project directories) are not kept",
                "Install the package crun; Podman then prefers it.",
            )
        return ok(probe.version or probe.name)


CHECK = OciRuntime()
