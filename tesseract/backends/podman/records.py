"""What the image store itself records about layers: the API tells neither the size nor the number of mapped copies.

Without shifting file systems, Podman copies an image as a whole for each user mapping. The copy is a layer of the store
that is listed in the image's `mapped-layers`; the recorded size is that of the layer it began from, not of the copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]


def sizes(attrs: Record) -> tuple[int, int] | None:
    """Bytes of an image's layers, and of its mapped copies; None where the store is not to be read from here.

    Args:
        attrs: Podman's inspect document of the image.
    """
    graph = attrs.get("GraphDriver") or {}
    top = (graph.get("Data") or {}).get("UpperDir")
    if not top:
        return None
    driver = Path(top).parents[1]  # ROOT/overlay/LAYER/diff
    try:
        images = _read(driver.with_name(f"{driver.name}-images") / "images.json")
        layers = _read(driver.with_name(f"{driver.name}-layers") / "layers.json")
    except (OSError, ValueError):
        return None
    return recorded_sizes(str(attrs.get("Id")), images, layers)


def recorded_sizes(image_id: str, images: Iterable[Record], layers: Iterable[Record]) -> tuple[int, int] | None:
    """The same from the store's records. Pure."""
    image = next((record for record in images if record.get("id") == image_id), None)
    known = {record.get("id"): record for record in layers}
    if image is None or image.get("layer") not in known:
        return None
    size, layer = 0, image.get("layer")
    while (record := known.get(layer)) is not None:
        size += max(0, int(record.get("diff-size") or 0))
        layer = record.get("parent")
    copies = sum(mapped in known for mapped in image.get("mapped-layers") or ())
    return size, copies * size


def _read(path: Path) -> list[Record]:
    state = path.stat()
    return _parsed(path, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=4)
def _parsed(path: Path, changed: int, inode: int) -> list[Record]:
    return list(json.loads(path.read_text()) or ())
