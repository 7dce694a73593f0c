"""newuidmap and newgidmap: without them a user namespace has one id only."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from tesseract.doctor.model import Check, Finding, Machine, error, ok

TOOLS = ("newuidmap", "newgidmap")


@dataclass(frozen=True)
class Probe:
    """Per tool: its path (None: missing), and whether it may map ids (set-uid root or file capability)."""

    paths: dict[str, str | None]
    privileged: dict[str, bool]


def _privileged(path: str) -> bool:
    if Path(path).stat().st_mode & stat.S_ISUID:
        return True
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


class IdmapTools(Check[Probe]):
    name = "idmap-tools"
    title = "newuidmap and newgidmap"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        paths = {tool: machine.which(tool) for tool in TOOLS}
        return Probe(paths, {tool: _privileged(path) for tool, path in paths.items() if path})

    def judge(self, probe: Probe) -> Finding:
        missing = [tool for tool, path in probe.paths.items() if path is None]
        if missing:
            return error(
                f"{' and '.join(missing)} not found: containers could have one user id only",
                "Install the package uidmap (Debian, Ubuntu) or shadow-utils (Fedora, RHEL).",
            )
        powerless = [str(probe.paths[tool]) for tool, fine in probe.privileged.items() if not fine]
        if powerless:
            return error(
                f"{' and '.join(powerless)} may not map ids (neither set-uid root nor with file capabilities)",
                "Reinstall the package uidmap or shadow-utils; a copied file system loses such rights.",
            )
        return ok("present, with the rights they need")


CHECK = IdmapTools()
