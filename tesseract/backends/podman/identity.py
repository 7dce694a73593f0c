"""Who the container's process is, and whose its files are outside: the rule for Podman, as a pure function.

Rootless: files that the container writes to bind mounts must belong to the caller. Two of Podman's mappings do
that: `keep-id` (the caller keeps its id, or appears under another) and the default one (container root is the caller).
Rootful: the process is the caller, nothing is mapped.
"""

from __future__ import annotations

from dataclasses import dataclass

from tesseract.backends.spec import UserMapping
from tesseract.backends.users import wanted_ids


@dataclass(frozen=True)
class Identity:
    """In Podman's words.

    Attributes:
        user: `uid:gid` inside, or `None` for what the image says.
        nsmode: Mode of the user namespace, `None` for Podman's default.
        value: Its argument (`uid=4242,gid=4242`).
        keep_groups: Whether the caller's supplementary groups go along.
    """

    user: str | None = None
    nsmode: str | None = None
    value: str | None = None
    keep_groups: bool = False

    @property
    def userns(self) -> str | None:
        """As `--userns` takes it."""
        return f"{self.nsmode}:{self.value}" if self.value else self.nsmode


def identity(mapping: UserMapping | None, rootless: bool, has_groups: bool = False) -> Identity:
    """Podman's words for a mapping.

    Args:
        mapping: What is wanted; `None` leaves user and namespace to image and engine.
        rootless: Whether the engine runs without root.
        has_groups: Whether the caller has supplementary groups.
    """
    if mapping is None:
        return Identity()
    uid, gid = wanted_ids(mapping)
    wanted = f"{uid}:{gid}"
    keep_groups = rootless and mapping.keep_groups and has_groups

    if mapping.userns not in (None, "host", "keep-id"):
        nsmode, _, value = str(mapping.userns).partition(":")
        explicit = wanted if mapping.uid is not None else None
        return Identity(explicit, nsmode, value or None, keep_groups)
    if not rootless:
        return Identity(wanted)
    if mapping.userns == "host":
        return Identity(wanted if mapping.uid is not None else "0:0", keep_groups=keep_groups)
    if uid == 0:
        return Identity(wanted, keep_groups=keep_groups)
    if (uid, gid) == (mapping.caller_uid, mapping.caller_gid):
        return Identity(wanted, "keep-id", keep_groups=keep_groups)
    return Identity(wanted, "keep-id", f"uid={uid},gid={gid}", keep_groups)
