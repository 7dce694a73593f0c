"""A full disk, told with what can be seen of it from here."""

from __future__ import annotations

import re
from pathlib import Path

from tesseract import disk
from tesseract.backends.spec import ImageInfo
from tesseract.errors import BuildError, DiskFull

_NO_ROOM = re.compile(r"no space left on device|os error 28\b|disk quota exceeded", re.IGNORECASE)


def with_room(
    error: DiskFull,
    engine: str,
    image: ImageInfo | None = None,
    store: str | None = None,
    build_cache: Path | None = None,
) -> DiskFull:
    """The same error with the file system, what is missing on it, and what can go.

    Args:
        error: As the engine's words gave it; what it says is about this machine.
        engine: The program, for the command that frees room in its store.
        image: What a container was to be made of.
        store: Where the engine keeps images, if known.
        build_cache: Where it keeps what builds have fetched.
    """
    said = error.said
    place = disk.named_in(said) or store or (_store_of(image) if image else None)
    found = disk.room(place) if place else None
    if found is None:
        return error
    copied = image is not None and "ID-mapped copy" in said
    needed = image.size if image and copied else 0
    shortage = disk.shortage(found, needed, "a copy of the image for your user", quota="quota" in said.lower())
    return DiskFull(said, shortage, _remedies(found, engine, build_cache))


def is_full(error: BuildError) -> bool:
    """Whether a build failed for want of room."""
    return any(_NO_ROOM.search(line) for line in (error.headline, *error.build_log[-50:]))


def build_with_room(
    error: BuildError, engine: str, store: str | None, scratch: Path, build_cache: Path | None
) -> BuildError:
    """The error of a build that failed for want of room, with the file system and what can go.

    A build writes to several places, and names paths inside of the image: the place with the least room is the one.

    Args:
        engine: The program, for the command that frees room in its store.
        store: Where it keeps images.
        scratch: Where steps of a build keep what they need while they run.
        build_cache: Where it keeps what builds have fetched.
    """
    rooms = [found for place in (store, scratch) if place and (found := disk.room(place))]
    if not rooms:
        return error
    fullest = min(rooms, key=lambda found: found.free if found.files_free else 0)
    remedies = _remedies(fullest, engine, build_cache)
    if fullest is rooms[-1] and fullest.device != rooms[0].device:
        remedies.append("set TMPDIR to a directory with more space")
    shortage = disk.shortage(fullest, quota="quota" in error.headline.lower())
    advice = f". {shortage}. Make room there: {' or '.join(remedies)}"
    return BuildError(error.headline + advice, error.build_log, error.reason + advice if error.reason else "")


def _remedies(found: disk.Room, engine: str, build_cache: Path | None) -> list[str]:
    return [*disk.ours(found, build_cache), f"`{engine} image prune`"]


def _store_of(image: ImageInfo) -> str | None:
    """The directory of the image store, by where the image's uppermost layer is (ROOT/overlay/LAYER/diff)."""
    top = ((image.attrs.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir")
    return str(Path(top).parents[1]) if top and len(Path(top).parents) > 1 else None
