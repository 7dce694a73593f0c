"""Ownership labels of the containers and networks that we make, and how a Tesseract is recognised."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from tesseract_core._version import __version__

UID = "org.tesseract.uid"
VERSION = "org.tesseract.version"
PROCESS = "org.tesseract.process"
SOCKET = "org.tesseract.socket"
HOST_IP = "org.tesseract.host-ip"
OUTPUT_URL = "org.tesseract.output-url"
OUTPUT_DIR = "org.tesseract.output-dir"
INPUT_DIR = "org.tesseract.input-dir"


class _HasEnv(Protocol):
    @property
    def env(self) -> Mapping[str, str]: ...


def ownership(uid: int | None = None, owner: str | None = None) -> dict[str, str]:
    """Labels for something made now for `uid` (the caller's by default), belonging to process `owner` if given."""
    labels = {UID: str(os.getuid() if uid is None else uid), VERSION: __version__}
    return labels | ({PROCESS: owner} if owner else {})


def mine() -> dict[str, str]:
    """Labels that everything made by our tool for the calling user carries."""
    return {UID: str(os.getuid())}


def is_tesseract(thing: _HasEnv) -> bool:
    """Whether an image or a container is a Tesseract, whoever built or started it."""
    return "TESSERACT_NAME" in thing.env
