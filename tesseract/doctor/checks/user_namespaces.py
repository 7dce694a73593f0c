"""May this user make user namespaces at all?"""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, Output, error, ok, warning

SYSCTLS = (
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
)


@dataclass(frozen=True)
class Probe:
    sysctls: dict[str, str | None]
    unshare: Output
    podman_unshare: Output


class UserNamespaces(Check[Probe]):
    name = "user-namespaces"
    title = "User namespaces permitted"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        return Probe(
            {path.rsplit("/", 1)[1]: machine.read(path) for path in SYSCTLS},
            machine.run("unshare", "--user", "--map-root-user", "true"),
            machine.run("podman", "unshare", "true"),
        )

    def judge(self, probe: Probe) -> Finding:
        if probe.podman_unshare.status == 0:
            if probe.unshare.status not in (0, None):
                return ok("permitted for Podman (by its AppArmor profile), not for other programs")
            return ok("permitted")
        if probe.sysctls.get("unprivileged_userns_clone") == "0":
            return error(
                "the kernel refuses user namespaces to ordinary users (kernel.unprivileged_userns_clone = 0)",
                "Ask an administrator for: sudo sysctl -w kernel.unprivileged_userns_clone=1",
            )
        if probe.sysctls.get("max_user_namespaces") == "0":
            return error(
                "no user namespaces are allowed (user.max_user_namespaces = 0)",
                "Ask an administrator for: sudo sysctl -w user.max_user_namespaces=15000",
            )
        if probe.unshare.status != 0 and probe.sysctls.get("apparmor_restrict_unprivileged_userns") == "1":
            return error(
                "AppArmor refuses user namespaces to this Podman (kernel.apparmor_restrict_unprivileged_userns)",
                "Use the distribution's Podman, which has a profile, or ask an administrator for one with `userns,`.",
            )
        if probe.unshare.status != 0:
            return error(
                f"user namespaces are refused: {probe.unshare.last_line or 'unshare failed'}",
                "Inside a container or CI job, ask for one that permits them (see docs/ci.md).",
            )
        return warning(
            f"user namespaces work, but `podman unshare` fails: {probe.podman_unshare.last_line}",
            "See the checks of Podman itself, of subordinate ids and of newuidmap.",
        )


CHECK = UserNamespaces()
