"""The init process: Podman puts one of its own, catatonit, into each container, so that signals arrive."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tesseract.backends.refusals import missing_helper
from tesseract.doctor.model import Check, Finding, Machine, error, ok

PROGRAM = "catatonit"
# Where Podman looks for the programs that it calls (containers.conf(5), helper_binaries_dir and init_path).
DIRS = ("/usr/libexec/podman", "/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/lib/podman")


@dataclass(frozen=True)
class Probe:
    """`path`: the program, None where there is none; `configured`: what containers.conf says it is."""

    path: str | None
    configured: str | None = None


class InitProgram(Check[Probe]):
    name = "init-program"
    title = "Init process of containers"
    engine = "podman"

    def probe(self, machine: Machine) -> Probe:
        configured, dirs = None, list(DIRS)
        for file in _configurations(machine):
            path, folders = settings(machine.read(file) or "")
            configured, dirs = path or configured, [*folders, *dirs]
        places = [configured] if configured else [os.path.join(folder, PROGRAM) for folder in dirs]
        found = next((place for place in places if os.access(place, os.X_OK)), None)
        return Probe(found or (None if configured else machine.which(PROGRAM)), configured)

    def judge(self, probe: Probe) -> Finding:
        if probe.path is not None:
            return ok(probe.path)
        if probe.configured:
            return error(
                f"containers.conf names {probe.configured} (init_path), which is not there: no container can start",
                f"Set it right, or leave it out and install the package {PROGRAM}.",
            )
        return error("not there: no container of ours can start", missing_helper(PROGRAM))


def _configurations(machine: Machine) -> list[Path]:
    """Files of containers.conf, weakest first."""
    if chosen := machine.environ.get("CONTAINERS_CONF"):
        return [Path(chosen)]
    home = Path(machine.environ.get("XDG_CONFIG_HOME") or Path(machine.environ.get("HOME") or "/") / ".config")
    etc, own = Path("/etc/containers"), home / "containers"
    found = [Path("/usr/share/containers/containers.conf")]
    for folder in (etc, own):
        found += [folder / "containers.conf", *sorted(folder.glob("containers.conf.d/*.conf"))]
    return found


def settings(text: str) -> tuple[str | None, list[str]]:
    """`init_path` and `helper_binaries_dir` of a containers.conf; what Podman itself refuses says nothing."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None, []
    tables = [table for name in ("engine", "containers") if isinstance(table := document.get(name), dict)]
    paths = [path for table in tables if isinstance(path := table.get("init_path"), str) and path]
    lists = [folders for table in tables if isinstance(folders := table.get("helper_binaries_dir"), list)]
    folders = [folder for several in lists for folder in several if isinstance(folder, str)]
    return (paths[-1] if paths else None), folders


CHECK = InitProgram()
