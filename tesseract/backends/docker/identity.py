"""Who the container's process is under Docker: the rule as a pure function.

Rootful: the process has the caller's ids, nothing is mapped. Rootless: container root is the caller and nobody else is;
another id is given on request, but its files belong to a subordinate id outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tesseract.backends.spec import UserMapping
from tesseract.backends.users import wanted_ids
from tesseract.errors import InvalidValue


@dataclass(frozen=True)
class Identity:
    """In Docker's words: `uid:gid` (None: what the image says), additional groups, mode of the user namespace."""

    user: str | None = None
    groups: tuple[str, ...] = ()
    userns: str | None = None


def identity(mapping: UserMapping | None, rootless: bool, groups: Sequence[int] = ()) -> Identity:
    """Docker's words for a mapping.

    Args:
        mapping: What is wanted; `None` leaves it to the image.
        rootless: Whether the daemon runs without root.
        groups: The caller's supplementary groups.

    Raises:
        InvalidValue: A user namespace that only Podman has.
    """
    if mapping is None:
        return Identity()
    if mapping.userns not in (None, "host", "keep-id"):
        raise InvalidValue(f"Docker has no user namespace '{mapping.userns}': leave --userns out, or use Podman.")
    userns = "host" if mapping.userns == "host" else None
    if rootless:
        return Identity("0:0" if mapping.uid is None else "{}:{}".format(*wanted_ids(mapping)), (), userns)
    uid, gid = wanted_ids(mapping)
    return Identity(f"{uid}:{gid}", tuple(str(group) for group in groups) if mapping.keep_groups else (), userns)
