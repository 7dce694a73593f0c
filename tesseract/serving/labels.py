"""Labels of the containers and networks that we make, and how a Tesseract is recognised.

A container has its image's labels, too, and what is in an image is anybody's word. So every container that we make gets
each label that we read, empty where it does not apply, and `of` reads them only where we have set them: where the label
for the name, which no image can know before, is the container's own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from tesseract_core._version import __version__

NAME = "org.tesseract.name"
UID = "org.tesseract.uid"
VERSION = "org.tesseract.version"
PROCESS = "org.tesseract.process"
SOCKET = "org.tesseract.socket"
HOST_IP = "org.tesseract.host-ip"
OUTPUT_URL = "org.tesseract.output-url"
OUTPUT_DIR = "org.tesseract.output-dir"
INPUT_DIR = "org.tesseract.input-dir"
ALL = (NAME, UID, VERSION, PROCESS, SOCKET, HOST_IP, OUTPUT_URL, OUTPUT_DIR, INPUT_DIR)


class _Container(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]: ...


class _HasEnv(Protocol):
    @property
    def env(self) -> Mapping[str, str]: ...


def ownership(uid: int | None = None) -> dict[str, str]:
    """Labels for something made now for `uid` (the caller's by default)."""
    return {UID: str(os.getuid() if uid is None else uid), VERSION: __version__}


def of_container(name: str, uid: int | None = None, owner: str | None = None) -> dict[str, str]:
    """All labels of a container that is made now; those that only some have are empty.

    Args:
        name: Its name.
        uid: For whom; the caller by default.
        owner: The process that it belongs to, if any.
    """
    return {**dict.fromkeys(ALL, ""), **ownership(uid), NAME: name, PROCESS: owner or ""}


def of(container: _Container) -> dict[str, str]:
    """The labels that we have set on a container, without empty ones; none at all if it is not of our making."""
    if container.labels.get(NAME) != container.name:
        return {}
    return {label: value for label in ALL if (value := container.labels.get(label))}


def is_mine(container: _Container) -> bool:
    """Whether our tool made a container for the calling user."""
    return of(container).get(UID) == str(os.getuid())


def mine() -> dict[str, str]:
    """What to ask an engine for: all that our tool made for the calling user, and what claims so (see `is_mine`)."""
    return {UID: str(os.getuid())}


def is_tesseract(thing: _HasEnv) -> bool:
    """Whether an image or a container is a Tesseract, whoever built or started it."""
    return "TESSERACT_NAME" in thing.env
