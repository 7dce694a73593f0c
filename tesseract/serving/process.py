"""Identity of a process that survives the reuse of its pid: `pid:start time:boot id`."""

from __future__ import annotations

import os
from pathlib import Path


def current() -> str:
    """The label value that says a container belongs to this process."""
    return f"{os.getpid()}:{_start_time(os.getpid())}:{_boot_id()}"


def is_alive(owner: str) -> bool:
    """Whether the process that wrote `owner` still runs. An unreadable value counts as alive: never remove on doubt."""
    try:
        pid, start_time, boot_id = owner.split(":")
        if boot_id != _boot_id():
            return False
        return _start_time(int(pid)) == start_time
    except (FileNotFoundError, ProcessLookupError):
        return False
    except (OSError, ValueError):
        return True


def _start_time(pid: int) -> str:
    # proc(5): field 22, counted after the command name, which may itself hold spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
