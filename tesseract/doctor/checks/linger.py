"""Do served Tesseracts outlive the login session?"""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, note, ok, warning


@dataclass(frozen=True)
class Probe:
    """`linger` is what logind says ("yes", "no"), or None where there is no logind."""

    user: str
    linger: str | None


class Linger(Check[Probe]):
    name = "linger"
    title = "Containers outlive the login"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        done = machine.run("loginctl", "show-user", machine.user, "--property=Linger", "--value")
        return Probe(machine.user, done.stdout.strip() if done.status == 0 else None)

    def judge(self, probe: Probe) -> Finding:
        if probe.linger is None:
            return note("no systemd login sessions here: nothing ends containers at logout")
        if probe.linger == "yes":
            return ok("yes (linger is on)")
        return warning(
            "systemd ends your served Tesseracts when you log out", f"Run: loginctl enable-linger {probe.user}"
        )

    def fix(self, probe: Probe) -> str | None:
        if probe.linger != "no":
            return None
        done = Machine().run("loginctl", "enable-linger", probe.user)
        return f"enabled linger for {probe.user}" if done.status == 0 else None


CHECK = Linger()
