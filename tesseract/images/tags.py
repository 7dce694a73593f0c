"""Names of images: what a build is called."""

from __future__ import annotations

import re

from tesseract.errors import InvalidValue, ValidationError
from tesseract.projects import TesseractConfig

_TAG = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*")


NO_IMAGE_NAME = "cannot name an image. Use lowercase letters and digits, with single '-', '_' or '.' between them."


def names_an_image(name: str) -> bool:
    """Whether an image can have the name."""
    return _NAME.fullmatch(name) is not None


def image_tags(config: TesseractConfig, tag: str | None) -> tuple[str, ...]:
    """References that the image of a project gets: one with `tag`, else the version and `latest`.

    Args:
        config: The project's configuration.
        tag: The wanted tag.

    Raises:
        InvalidValue: Malformed tag.
        ValidationError: The project's name cannot name an image.
    """
    if tag is not None and not _TAG.fullmatch(tag):
        raise InvalidValue(
            f"Invalid tag '{tag}': only letters, digits, '_', '.' and '-' are allowed, and at most 128 of them."
        )
    if not names_an_image(config.name):
        raise ValidationError(f"The name '{config.name}' in tesseract_config.yaml {NO_IMAGE_NAME}")
    names = (tag,) if tag is not None else (config.version, "latest")
    return tuple(dict.fromkeys(f"{config.name}:{name}" for name in names))


def qualified(base_image: str) -> str:
    """The base image with its registry where the name alone means Docker Hub (`debian:12`, `user/image`).

    Raises: ValidationError.
    """
    if not re.fullmatch(r"\S+", base_image):
        raise ValidationError(f"build_config.base_image: '{base_image}' is not the name of an image.")
    first, slash, _ = base_image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return base_image
    return f"docker.io/{base_image}" if slash else f"docker.io/library/{base_image}"
