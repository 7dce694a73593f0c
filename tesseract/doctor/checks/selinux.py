"""SELinux: bind mounts need a label."""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, note, ok


@dataclass(frozen=True)
class Probe:
    """`enforcing` is the text of the kernel's switch, None where SELinux is not there."""

    enforcing: str | None


class Selinux(Check[Probe]):
    name = "selinux"
    title = "SELinux"

    def probe(self, machine: Machine) -> Probe:
        return Probe(machine.read("/sys/fs/selinux/enforce"))

    def judge(self, probe: Probe) -> Finding:
        if probe.enforcing == "1":
            return note(
                "enforcing: a container may read your directories only if they carry its label",
                "Add the option z to volumes of your own (--volume DIR:/data:rw,z); never Z on your home directory.",
            )
        return ok("not enforcing" if probe.enforcing == "0" else "not present")


CHECK = Selinux()
