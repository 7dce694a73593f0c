"""What there is: Tesseract images and running Tesseracts, as typed rows."""

from __future__ import annotations

import pwd
from dataclasses import dataclass

from tesseract.backends.base import Backend
from tesseract.serving import labels
from tesseract.serving.address import address_of
from tesseract.serving.endings import by_signal
from tesseract.serving.lookup import engine


@dataclass(frozen=True)
class ImageRow:
    """One tagged Tesseract image. Sizes in bytes; `mapped_size` is what copies for user mappings take besides."""

    id: str
    short_id: str
    name: str
    tags: tuple[str, ...]
    version: str
    description: str
    size: int
    mapped_size: int


@dataclass(frozen=True)
class ContainerRow:
    """One running Tesseract. `owner` is the user it was made for, empty where another tool made it."""

    id: str
    name: str
    version: str
    host_address: str
    container_name: str
    description: str
    owner: str
    socket: str | None


def images(backend: Backend | None = None) -> list[ImageRow]:
    """All tagged Tesseract images of the store."""
    rows = [
        ImageRow(
            id=image.id,
            short_id=image.short_id,
            name=image.env.get("TESSERACT_NAME", ""),
            tags=tuple(sorted(image.tags)),
            version=image.env.get("TESSERACT_VERSION", ""),
            description=image.env.get("TESSERACT_DESCRIPTION", ""),
            size=image.size,
            mapped_size=image.mapped_size,
        )
        for image in engine(backend).images()
        if labels.is_tesseract(image) and image.tags
    ]
    return sorted(rows, key=lambda row: (row.name, row.tags))


def containers(backend: Backend | None = None) -> list[ContainerRow]:
    """All running Tesseracts of the engine, whoever started them."""
    rows = []
    for container in engine(backend).containers():
        if not labels.is_tesseract(container):
            continue
        address = address_of(container)
        rows.append(
            ContainerRow(
                id=container.id,
                name=container.env.get("TESSERACT_NAME", ""),
                version=container.env.get("TESSERACT_VERSION", ""),
                host_address=f"{address.ip}:{address.port}" if address.port is not None else (address.socket or "-"),
                container_name=container.name,
                description=container.env.get("TESSERACT_DESCRIPTION", ""),
                owner=_user_name(labels.of(container).get(labels.UID)),
                socket=address.socket,
            )
        )
    return sorted(rows, key=lambda row: (row.name, row.container_name))


def ended(backend: Backend | None = None) -> dict[str, str]:
    """The caller's Tesseracts that have ended by themselves: name of the container → how."""
    return {
        container.name: by_signal(container) or f"exited with status {container.exit_code}"
        for container in engine(backend).containers(all=True, labels=labels.mine())
        if labels.is_mine(container) and labels.is_tesseract(container) and container.exit_code is not None
    }


def _user_name(uid: str | None) -> str:
    if uid is None:
        return ""
    try:
        return pwd.getpwuid(int(uid)).pw_name
    except (KeyError, ValueError, OverflowError):
        return uid
