"""Is Podman there, and what does a too old one cost?"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, error, ok

OLDEST = (4, 3)
# What a version brought that we use where it is there (Podman's release notes).
GATES = {
    (5, 0): "pasta, the faster rootless network",
    (5, 5): "CDI specifications in your own directory (--cdi-spec-dir)",
}


@dataclass(frozen=True)
class Probe:
    path: str | None
    version: str | None
    problem: str = ""

    @property
    def lost_processes(self) -> bool:
        """Whether Podman has containers on record that run, but no process of any of them."""
        return "invalid internal status" in self.problem


class Engine(Check[Probe]):
    name = "engine"
    title = "Podman present and new enough"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        path = machine.which("podman")
        if path is None:
            return Probe(None, None)
        done = machine.run("podman", "version", "--format", "json")
        if done.status != 0:
            return Probe(path, None, done.last_line)
        return Probe(path, json.loads(done.stdout)["Client"]["Version"])

    def judge(self, probe: Probe) -> Finding:
        if probe.path is None:
            return error(
                "Podman is not installed", "Install your distribution's package: podman (Debian, Fedora, ...)."
            )
        if probe.lost_processes:
            return error(
                "Podman lost the processes that it left running: all were killed, as a batch system or a logout does",
                "Run: podman system migrate (ends what is left of their containers; so does tesseract doctor --fix)",
            )
        if probe.version is None:
            return error(f"{probe.path} does not run: {probe.problem}", "Reinstall Podman, then run this again.")
        version = tuple(int(part) for part in probe.version.split("-")[0].split("+")[0].split(".")[:2])
        if version < OLDEST:
            return error(
                f"Podman {probe.version} is too old: keep-id with a chosen uid needs 4.3",
                "Install Podman 4.3 or newer (found in Debian 12, Ubuntu 23.04, RHEL 9).",
            )
        off = [what for gate, what in GATES.items() if version < gate]
        if off:
            return ok(f"Podman {probe.version}; newer ones add: {'; '.join(off)}")
        return ok(f"Podman {probe.version}")

    def fix(self, probe: Probe) -> str | None:
        if not probe.lost_processes:
            return None
        Machine().run("podman", "system", "migrate", timeout=60)  # it may fail for a container, and repair the rest
        return "ran podman system migrate"


CHECK = Engine()
