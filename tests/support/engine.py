"""What an engine holds for this user, to prove that a command left nothing behind."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path


def podman(*words: str) -> str:
    """Output of a podman command that must succeed."""
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=True, timeout=60).stdout


def snapshot() -> dict[str, set[str]]:
    """Containers, networks, volumes, socket directories and temporary files."""
    runtime_dir = Path(os.environ["XDG_RUNTIME_DIR"], "tesseract")
    return {
        "containers": set(podman("ps", "-aq", "--no-trunc").split()),
        "networks": set(podman("network", "ls", "--format", "{{.Name}}").split()),
        "volumes": set(podman("volume", "ls", "-q").split()),
        "sockets": {path.name for path in runtime_dir.glob("tesseract-*")},
        "temporary files": {
            path.name for path in Path(tempfile.gettempdir()).glob("tesseract*") if path.stat().st_uid == os.getuid()
        },
    }
