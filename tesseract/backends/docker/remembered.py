"""The `/etc/passwd` of images, asked for once: what an image's id stands for never changes. Some kilobytes each, in the
user's cache; the oldest make room."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from tesseract.dirs import cache_dir

_AT_MOST = 200


def recall(image: str) -> bytes | None:
    """The file as the engine handed it out, a tar archive."""
    with suppress(OSError):
        return _place(image).read_bytes()
    return None


def remember(image: str, archive: bytes) -> None:
    """Keep it for the next container, if `image` is an id: under a name there may be another tomorrow.

    Where nothing can be kept, the engine is asked again.
    """
    if not image.startswith("sha256:"):
        return
    place = _place(image)
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as draft:
            draft.write(archive)
        Path(draft.name).replace(place)
        for old in sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_AT_MOST]:
            old.unlink()


def forget(image: str) -> None:
    """The image is gone."""
    with suppress(OSError):
        _place(image).unlink()


def _place(image: str) -> Path:
    return cache_dir("passwd", f"{image.replace('/', '-')}.tar")
