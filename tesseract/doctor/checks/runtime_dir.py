"""XDG_RUNTIME_DIR: where sockets and state of a login session live."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tesseract.doctor.model import Check, Finding, Machine, error, ok, warning


@dataclass(frozen=True)
class Probe:
    """`owner` is None where the directory does not exist."""

    uid: int
    path: str | None
    owner: int | None = None
    writable: bool = False


class RuntimeDir(Check[Probe]):
    name = "runtime-dir"
    title = "XDG_RUNTIME_DIR"

    def probe(self, machine: Machine) -> Probe:
        path = machine.environ.get("XDG_RUNTIME_DIR") or None
        if path is None or not Path(path).is_dir():
            return Probe(machine.uid, path)
        return Probe(machine.uid, path, Path(path).stat().st_uid, os.access(path, os.W_OK | os.X_OK))

    def judge(self, probe: Probe) -> Finding:
        login = "Log in directly (ssh, machinectl shell) instead of with su or sudo, or: loginctl enable-linger"
        if probe.path is None:
            return warning(
                "not set: Podman falls back to a directory below /tmp, whose containers others' tools miss", login
            )
        if probe.owner is None:
            return error(f"{probe.path} does not exist", login)
        if probe.owner != probe.uid:
            return error(f"{probe.path} belongs to uid {probe.owner}, not to you (uid {probe.uid})", login)
        if not probe.writable:
            return error(f"{probe.path} is not writable", login)
        return ok(probe.path)


CHECK = RuntimeDir()
