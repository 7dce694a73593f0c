"""A name for every user: Podman writes one into a container's `/etc/passwd`, Docker leaves that to us.

The file goes into the container itself between create and start. Pure; `remembered` keeps what images say.
"""

from __future__ import annotations

import io
import tarfile

NAME = "tesseract-user"
AT_MOST = 1 << 20
"""Bytes of an archive with an image's file that are looked at."""
_PATH = "passwd"


def with_user(archive: bytes, user: str, home: str) -> bytes | None:
    """A tar archive with `/etc/passwd` and an entry for `user` in it. Pure.

    None where its id has one already, or where what the image has there is no file.

    Args:
        archive: The file as the engine hands it out, a tar archive.
        user: `uid:gid`.
        home: Its home directory.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            member = tar.extractfile(_PATH)
            text = member.read() if member else b""
    except (tarfile.TarError, KeyError):  # a link that leads nowhere, too
        return None
    uid, _, gid = user.partition(":")
    entries = [line.split(b":") for line in text.splitlines()]
    if any(len(entry) > 2 and entry[2] == uid.encode() for entry in entries):
        return None
    name = NAME if not any(entry[0] == NAME.encode() for entry in entries) else f"user-{uid}"
    if text and not text.endswith(b"\n"):
        text += b"\n"
    text += f"{name}:x:{uid}:{gid}::{home}:/bin/sh\n".encode()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo(_PATH)
        entry.mode, entry.size = 0o644, len(text)
        tar.addfile(entry, io.BytesIO(text))
    return content.getvalue()
