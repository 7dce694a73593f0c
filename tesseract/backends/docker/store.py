"""The image store of Docker: looking up, listing, removing without losing the layer cache."""

from __future__ import annotations

from contextlib import suppress

from tesseract.backends.docker import remembered
from tesseract.backends.http import EngineApi, quote
from tesseract.backends.inspect import image_info
from tesseract.backends.spec import ImageInfo
from tesseract.backends.text import short_reference
from tesseract.deadline import Deadline
from tesseract.errors import APIError, ImageNotFound, NotFound


def docker_reference(reference: str) -> str:
    """Docker has no `localhost/` for what was built here."""
    return short_reference(reference)


def image(api: EngineApi, reference: str, deadline: Deadline | None = None) -> ImageInfo:
    """One image. Raises: ImageNotFound."""
    for name in dict.fromkeys((docker_reference(reference), reference)):
        if not name.strip():
            continue
        try:
            return image_info(api.request("GET", f"/images/{quote(name)}/json", deadline=deadline))
        except NotFound:
            continue
        except APIError as exc:
            if exc.status not in (400, 404):
                raise
    raise ImageNotFound(f"Image {reference} not found. Build it with `tesseract build`, or see `tesseract list`.")


def remove(api: EngineApi, reference: str) -> None:
    """Remove an image with all its tags. Raises: ImageNotFound, APIError (a container uses it)."""
    found = image(api, reference)
    with suppress(NotFound):
        for tag in found.attrs.get("RepoTags") or ():
            _delete(api, tag)
        _delete(api, found.id)


def remove_if_unused(api: EngineApi, image_id: str) -> bool:
    """Remove an image that nothing refers to. Docker itself refuses where a container or another image needs it; what
    BuildKit keeps as cache is no image and stays."""
    try:
        found = image(api, image_id)
    except ImageNotFound:
        return False
    if found.tags or _has_child(api, found):
        return False
    try:
        _delete(api, found.id)
    except NotFound:
        return False
    except APIError as exc:
        if exc.status == 409:
            return False
        raise
    return True


def _has_child(api: EngineApi, found: ImageInfo) -> bool:
    """BuildKit notes no parents: an image that begins with all layers of this one, and has more, builds on it."""
    layers = _layers(found)
    for entry in api.request("GET", "/images/json", params={"all": True}) or ():
        with suppress(NotFound):
            if entry["Id"] != found.id:
                other = _layers(image(api, entry["Id"]))
                if len(other) > len(layers) and other[: len(layers)] == layers:
                    return True
    return False


def _layers(found: ImageInfo) -> list[str]:
    return list((found.attrs.get("RootFS") or {}).get("Layers") or ())


def _delete(api: EngineApi, reference: str) -> None:
    api.request("DELETE", f"/images/{quote(reference)}", params={"force": False}, timeout=600)
    remembered.forget(reference)
