"""Free space where images, builds and shared memory live."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass

from tesseract.doctor.model import Check, Finding, Machine, error, ok, warning

GIB = 1 << 30
LOW = {"store": 10 * GIB, "files of builds": 5 * GIB, "temporary files": 2 * GIB, "shared memory": GIB // 4}
EMPTY = {"store": 2 * GIB, "files of builds": GIB, "temporary files": GIB // 2, "shared memory": GIB // 32}


@dataclass(frozen=True)
class Probe:
    """Per place: path and free bytes."""

    free: dict[str, tuple[str, int]]


class Space(Check[Probe]):
    name = "space"
    title = "Free space"

    def probe(self, machine: Machine) -> Probe:
        places = {
            "store": machine.podman_info.get("store", {}).get("graphRoot") or os.path.expanduser("~"),
            "files of builds": self._builds(machine),
            "temporary files": machine.environ.get("TMPDIR") or tempfile.gettempdir(),
            "shared memory": "/dev/shm",
        }
        free = {}
        for place, path in places.items():
            try:
                stat = os.statvfs(_existing(path))
            except OSError:
                continue
            free[place] = path, stat.f_bavail * stat.f_frsize
        return Probe(free)

    def _builds(self, machine: Machine) -> str:
        from tesseract.backends.podman.builds import scratch

        version = (machine.podman_info.get("version") or {}).get("Version") or ""
        return str(scratch(str(version), machine.environ)) if version else tempfile.gettempdir()

    def judge(self, probe: Probe) -> Finding:
        remedies = {
            "store": "Free some: tesseract prune, podman image prune; or move the store (graphroot in storage.conf).",
            "files of builds": "Free some: tesseract prune; or set TMPDIR to a directory with more.",
            "temporary files": "Free some, or set TMPDIR to a directory with more.",
            "shared memory": "Free some, or mount /dev/shm larger.",
        }
        worst: Finding | None = None
        for place, (path, free) in probe.free.items():
            left = f"{free / GIB:.1f} GiB left for the {place} ({path})"
            if free < EMPTY[place]:
                return error(left, remedies[place])
            if free < LOW[place]:
                worst = worst or warning(left, remedies[place])
        return worst or ok(", ".join(f"{place}: {free / GIB:.0f} GiB" for place, (_, free) in probe.free.items()))


def _existing(path: str) -> str:
    """The path, or the folder in which it will be made."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


CHECK = Space()
