"""Which numeric ids a mapping asks for, for every engine alike."""

from __future__ import annotations

import os

from tesseract.backends.spec import UserMapping


def wanted_ids(mapping: UserMapping) -> tuple[int, int]:
    """User and group id inside. A user without a group keeps the caller's if it is the caller, else gets the group of
    the same number: engines would take group 0, which is nobody's under keep-id and root's under rootful Docker."""
    uid = mapping.caller_uid if mapping.uid is None else mapping.uid
    if mapping.gid is not None:
        return uid, mapping.gid
    return uid, mapping.caller_gid if uid == mapping.caller_uid else uid


def supplementary_groups() -> list[int]:
    """Group ids of this process besides its own."""
    return sorted({*os.getgroups()} - {os.getgid()})
