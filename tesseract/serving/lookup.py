"""Finding Tesseracts among everything that an engine holds."""

from __future__ import annotations

import re
from typing import Any

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerInfo, ImageInfo
from tesseract.deadline import Deadline
from tesseract.errors import APIError, ContainerNotFound, ImageNotFound, InvalidValue, UserError
from tesseract.serving.labels import is_tesseract
from tesseract.settings import HostConfig, get_config


def settings() -> HostConfig:
    """The host's settings. Raises: UserError with one line for each that is malformed."""
    try:
        return get_config()
    except ValueError as error:  # pydantic's ValidationError is one
        problems: list[dict[str, Any]] = getattr(error, "errors", list)()
        lines = [f' - TESSERACT_{str(p["loc"][0]).upper()}="{p["input"]}": Value error, {p["msg"]}' for p in problems]
        raise UserError(
            "Error while parsing Tesseract configuration. Please check your environment variables.\nErrors found:\n"
            + "\n".join(lines or [f" - {error}"])
        ) from error


def engine(backend: Backend | None = None) -> Backend:
    """The given engine, else the one that is selected for the caller. Raises: EngineUnavailable."""
    if backend is not None:
        return backend
    from tesseract.backends.select import get_backend

    settings()
    return get_backend()


def find_image(backend: Backend, name: str, deadline: Deadline | None = None) -> ImageInfo:
    """The Tesseract image of that name or id. Raises: ImageNotFound, InvalidValue."""
    if not isinstance(name, str) or not name:
        raise InvalidValue("Tesseract image name must be provided")
    try:
        image = backend.image(name, deadline, sizes=False)
    except APIError as error:
        # What engines say of a name that no image can have; anything else is a fault of theirs.
        if not re.search("must be lowercase|invalid reference", str(error)):
            raise
        raise _no_image(name, f" {error}") from error
    except ImageNotFound as error:
        backend.require_room()
        raise _no_image(name) from error
    if not is_tesseract(image):
        raise ImageNotFound(f"Image {name} is not a Tesseract image. `tesseract list` shows what there is.")
    return image


def _no_image(name: str, said: str = "") -> ImageNotFound:
    return ImageNotFound(
        f"Tesseract image not found. Are you sure your tesseract image name is {name}? "
        f"`tesseract list` shows what there is.{said}"
    )


def find_container(backend: Backend, name: str) -> ContainerInfo:
    """The Tesseract container of that name or id, running or not. Raises: ContainerNotFound."""
    try:
        container = backend.container(name)
    except ContainerNotFound:
        backend.require_room()
        container = None
    if container is None or not is_tesseract(container):
        raise ContainerNotFound(
            f"Tesseract container not found: Container {name} not found. `tesseract ps` shows what runs."
        )
    return container
