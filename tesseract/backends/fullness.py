"""A full disk, told with what can be seen of it from here."""

from __future__ import annotations

from pathlib import Path

from tesseract import disk
from tesseract.backends.spec import ImageInfo
from tesseract.errors import DiskFull


def with_room(error: DiskFull, engine: str, image: ImageInfo | None = None) -> DiskFull:
    """The same error with the file system, what is missing on it, and what can go.

    Args:
        error: As the engine's words gave it; what it says is about this machine.
        engine: The program, for the command that frees room in its store.
        image: What a container was to be made of.
    """
    said = error.said
    place = disk.named_in(said) or (_store(image) if image else None)
    found = disk.room(place) if place else None
    if found is None:
        return error
    copied = image is not None and "ID-mapped copy" in said
    needed = image.size if image and copied else 0
    shortage = disk.shortage(found, needed, "a copy of the image for your user", quota="quota" in said.lower())
    return DiskFull(said, shortage, [*disk.ours(found), f"`{engine} image prune`"])


def _store(image: ImageInfo) -> str | None:
    """The directory of the image store, by where the image's uppermost layer is (ROOT/overlay/LAYER/diff)."""
    top = ((image.attrs.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir")
    return str(Path(top).parents[1]) if top and len(Path(top).parents) > 1 else None
