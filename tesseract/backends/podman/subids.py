"""Subordinate ids: without a range of them, rootless Podman maps one id only, and no image can be unpacked."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path

from tesseract import proc
from tesseract.backends.refusals import SUBIDS
from tesseract.errors import EngineUnavailable

SUBUID = Path("/etc/subuid")


def listed(text: str, names: Sequence[str]) -> bool:
    """Whether a subuid file (`owner:first:count` lines) has a range for one of the names."""
    return any(line.split(":")[0].strip() in names for line in text.splitlines())


def require(command: Sequence[str], subuid: Path = SUBUID) -> None:
    """Raise EngineUnavailable if the caller has no subordinate ids.

    Args:
        command: The words that start Podman's command line. It is asked where the file names no range, because a
            directory service may provide one.
        subuid: The file to look into.
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    try:
        if listed(subuid.read_text(), (name, str(uid))):
            return
    except OSError:
        pass
    done = proc.run([*command, "unshare", "cat", "/proc/self/uid_map"], timeout=20)
    if done.returncode != 0 or len(done.stdout.splitlines()) > 1:
        return
    raise EngineUnavailable(f"User {name} has no subordinate user ids in /etc/subuid. {SUBIDS.replace('USER', name)}")
