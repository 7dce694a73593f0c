"""Control groups: are --memory and CPU limits enforced, or silently ignored?"""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, error, ok, warning


@dataclass(frozen=True)
class Probe:
    """`version` and `controllers` as Podman sees them; `hybrid` where v1 hierarchies stand beside a v2 one."""

    version: str | None
    controllers: tuple[str, ...]
    hybrid: bool
    runtime: str | None
    delegated: str | None


class Cgroups(Check[Probe]):
    name = "cgroups"
    title = "Limits are enforced (cgroups)"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        host = machine.podman_info.get("host", {})
        hybrid = (
            machine.read("/sys/fs/cgroup/cgroup.procs") is None
            and machine.read("/sys/fs/cgroup/unified/cgroup.procs") is not None
        )
        user = f"/sys/fs/cgroup/user.slice/user-{machine.uid}.slice/user@{machine.uid}.service/cgroup.controllers"
        return Probe(
            host.get("cgroupVersion"),
            tuple(host.get("cgroupControllers") or ()),
            hybrid,
            (host.get("ociRuntime") or {}).get("name"),
            machine.read(user),
        )

    def judge(self, probe: Probe) -> Finding:
        delegate = (
            "Ask an administrator to delegate them: /etc/systemd/system/user@.service.d/delegate.conf with "
            "[Service] Delegate=memory pids cpu cpuset"
        )
        if probe.hybrid and probe.runtime != "runc":
            return error(
                "cgroup v1 and v2 are mixed (hybrid): crun refuses to start containers",
                "Boot with systemd.unified_cgroup_hierarchy=1, or set runtime = 'runc' in containers.conf",
            )
        if probe.version is None:
            return error("Podman could not tell (podman info failed)", "See the checks above.")
        if probe.version == "v1":
            return warning(
                "cgroup v1: --memory and CPU limits are ignored without root",
                "Boot with systemd.unified_cgroup_hierarchy=1",
            )
        missing = [name for name in ("memory", "pids", "cpu") if name not in probe.controllers]
        if missing:
            return warning(f"limits on {', '.join(missing)} are silently ignored: not delegated to you", delegate)
        return ok("cgroup v2 with " + ", ".join(probe.controllers))


CHECK = Cgroups()
