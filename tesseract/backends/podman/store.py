"""The image store of Podman: looking up, listing, removing without losing the layer cache."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from tesseract.backends.http import EngineApi, quote
from tesseract.backends.inspect import image_info
from tesseract.backends.podman import records
from tesseract.backends.spec import ImageInfo
from tesseract.deadline import Deadline
from tesseract.errors import APIError, ImageNotFound, NotFound


def image(api: EngineApi, reference: str, deadline: Deadline | None = None, sizes: bool = True) -> ImageInfo:
    """One image. `sizes=False` spares looking for them: then `size` is Podman's, which counts a part of the mapped
    copies, and `mapped_size` is 0. Raises: ImageNotFound."""
    if not reference.strip():
        raise _not_found(reference)
    path = f"/images/{quote(reference)}"
    try:
        attrs = api.request("GET", f"{path}/json", deadline=deadline)
        if not sizes:
            return image_info(attrs)
        recorded = records.sizes(attrs)
        if recorded is not None:
            return replace(image_info(attrs), size=recorded[0], mapped_size=recorded[1])
        history = api.request("GET", f"{path}/history", deadline=deadline)
    except NotFound as exc:
        raise _not_found(reference) from exc
    except APIError as exc:
        if exc.status in (400, 500) and "reference" in str(exc):  # malformed: nothing can have that name
            raise _not_found(reference) from exc
        raise
    return image_info(attrs, history)


def remove(api: EngineApi, reference: str) -> None:
    """Remove an image with all its tags. Raises: ImageNotFound, APIError (a container uses it)."""
    image_id = image(api, reference, sizes=False).id
    with suppress(NotFound):
        for tag in image(api, image_id, sizes=False).attrs.get("RepoTags") or ():
            _delete(api, tag)
        _delete(api, image_id)


def remove_if_unused(api: EngineApi, image_id: str) -> bool:
    """Remove an image that nothing refers to any more; its id-shifted copies go with it.

    Podman then also removes untagged parents, but only those without other children: the stages of the cache that a
    newer build shares stay.
    """
    try:
        found = image(api, image_id, sizes=False)
    except ImageNotFound:
        return False
    if found.tags or _has_container(api, found.id) or _has_child(api, found):
        return False
    try:
        _delete(api, found.id)
    except NotFound:
        return False
    except APIError as exc:
        if exc.status == 409:  # a container or image has come into being meanwhile
            return False
        raise
    return True


def _has_container(api: EngineApi, image_id: str) -> bool:
    listed = api.request("GET", "/containers/json", params={"all": True, "external": True})
    return any(entry.get("ImageID") == image_id for entry in listed or ())


def _has_child(api: EngineApi, found: ImageInfo) -> bool:
    """Whether another image begins with all layers of this one and has been built on it (its history goes on)."""
    layers = _layers(found)
    history = found.attrs.get("History") or []
    listed = api.request("GET", "/images/json", params={"all": True}) or ()
    created = next((entry["Created"] for entry in listed if entry["Id"] == found.id), 0)
    for entry in listed:
        if entry["Id"] == found.id or entry["Created"] < created:  # what builds on it cannot be older
            continue
        with suppress(NotFound):
            other = image(api, entry["Id"], sizes=False)
            longer = other.attrs.get("History") or []
            if (
                _layers(other)[: len(layers)] == layers
                and len(longer) > len(history)
                and longer[: len(history)] == history
            ):
                return True
    return False


def _layers(found: ImageInfo) -> list[str]:
    return list((found.attrs.get("RootFS") or {}).get("Layers") or ())


def _delete(api: EngineApi, reference: str) -> None:
    api.request("DELETE", f"/images/{quote(reference)}", params={"force": False}, timeout=600)


def _not_found(reference: str) -> ImageNotFound:
    return ImageNotFound(f"Image {reference} not found. Build it with `tesseract build`, or see `tesseract list`.")
