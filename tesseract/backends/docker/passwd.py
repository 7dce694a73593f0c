"""A name for every user: Podman writes one into a container's `/etc/passwd`, Docker leaves that to us.

The file goes into the container itself between create and start. What it says in an image never changes, so it is asked
for once per image and remembered in the user's cache, a kilobyte each.
"""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import suppress
from pathlib import Path

from tesseract.dirs import cache_dir

NAME = "tesseract-user"
_PATH = "passwd"
_REMEMBERED = 200


def with_user(archive: bytes, user: str, home: str) -> bytes | None:
    """A tar archive with `/etc/passwd` and an entry for `user` in it; None where its id has one already. Pure.

    Args:
        archive: The file as the engine hands it out, a tar archive.
        user: `uid:gid`.
        home: Its home directory.
    """
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.extractfile(_PATH)
        text = member.read() if member else b""
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


def recall(image: str) -> bytes | None:
    """The file in an image, as the engine handed it out. `image`: an id; under a name there may be another tomorrow."""
    with suppress(OSError):
        return _place(image).read_bytes()
    return None


def remember(image: str, archive: bytes) -> None:
    """Keep it for the next container; the oldest are dropped. Where nothing can be kept, the engine is asked again."""
    if not image.startswith("sha256:"):
        return
    place = _place(image)
    draft = place.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(archive)
        draft.replace(place)
        for old in sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_REMEMBERED]:
            old.unlink()


def forget(image: str) -> None:
    """The image is gone."""
    with suppress(OSError):
        _place(image).unlink()


def _place(image: str) -> Path:
    return cache_dir("passwd", f"{image.replace(':', '-').replace('/', '-')}.tar")
