"""What tests declare to need. Where it is missing they are skipped with the reason, or fail with `CI=true`."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

# Engines besides the caller's own Podman, by the variable that says where they are (as root, `make test` starts them).
HOSTS = {
    "docker": "TESSERACT_DOCKER_TEST_HOST",
    "rootful podman": "TESSERACT_ROOTFUL_PODMAN_TEST_HOST",
    "rootless docker": "TESSERACT_ROOTLESS_DOCKER_TEST_HOST",
}


@functools.cache
def missing_engine(name: str) -> str | None:
    """Why there is no engine of that name for the caller, or None."""
    if name == "podman":
        return None if shutil.which("podman") else "podman is not installed"
    if name == "podman on fuse-overlayfs":
        usable = shutil.which("fuse-overlayfs") and os.access("/dev/fuse", os.W_OK)
        return missing_engine("podman") if usable else "fuse-overlayfs is not installed, or /dev/fuse not writable"
    host = os.environ.get(HOSTS[name], "")
    if not host:
        return f"{HOSTS[name]} names no engine (as root, `make test` starts one)"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(host.removeprefix("unix://"))
    except OSError as error:
        return f"no engine answers at {host}: {error}"
    return None


def missing_cdi() -> str | None:
    """Why there are no CDI GPUs, or None."""
    specs = [Path("/etc/cdi/nvidia.yaml"), Path("/var/run/cdi/nvidia.yaml")]
    return None if any(spec.exists() for spec in specs) else "no CDI specification of the kind nvidia.com/gpu"


@functools.cache
def missing_slurm() -> str | None:
    """Why no batch job can be submitted, or None."""
    if not shutil.which("sbatch"):
        return "SLURM is not installed (as root, `make test` starts one)"
    asked = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, check=False)
    return None if asked.returncode == 0 else f"no SLURM answers: {asked.stderr.strip()}"


def _reason(item: pytest.Item) -> str | None:
    for mark in item.iter_markers("needs_engine"):
        for name in mark.args or ("podman",):
            if reason := missing_engine(name):
                return reason
    if item.get_closest_marker("needs_cdi") and (reason := missing_cdi()):
        return reason
    if item.get_closest_marker("needs_slurm") and (reason := missing_slurm()):
        return reason
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if not shutil.which(program):
                return f"{program} is not installed"
    return None


def _fail(reason: str) -> None:
    pytest.fail(f"missing on a machine that must have it (CI=true): {reason}", pytrace=False)


def apply(items: list[pytest.Item]) -> None:
    """Skip, or with `CI=true` fail, what lacks its needs."""
    for item in items:
        reason = _reason(item)
        if reason is None:
            continue
        if os.environ.get("CI") == "true" and not item.get_closest_marker("large"):
            item.runtest = functools.partial(_fail, reason)  # type: ignore[method-assign]
        else:
            item.add_marker(pytest.mark.skip(reason=reason))
