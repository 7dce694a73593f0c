"""Who can reach a served Tesseract?"""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, note, ok


@dataclass(frozen=True)
class Probe:
    """Other people who have an account with a login shell on this machine."""

    others: int


class Exposure(Check[Probe]):
    name = "exposure"
    title = "Who can call a served Tesseract"

    def probe(self, machine: Machine) -> Probe:
        import pwd

        people = [
            entry
            for entry in pwd.getpwall()
            if 1000 <= entry.pw_uid < 60000
            and entry.pw_uid != machine.uid
            and not entry.pw_shell.endswith(("nologin", "false"))
        ]
        return Probe(len(people))

    def judge(self, probe: Probe) -> Finding:
        if probe.others == 0:
            return ok("a port on 127.0.0.1 is open to this machine's users, which is you alone")
        return note(
            f"a port on 127.0.0.1 is open to all local users ({probe.others} others can log in here)",
            "Where that matters: tesseract serve --socket, or --token auto.",
        )


CHECK = Exposure()
