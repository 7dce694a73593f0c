"""Serve, run, list and tear down Tesseracts. Knows no engine; `plan` decides, the other modules carry out."""

from tesseract.serving import listing, process
from tesseract.serving.address import Address, address_of
from tesseract.serving.endings import ended
from tesseract.serving.lookup import find_container, find_image
from tesseract.serving.oneshot import run_once
from tesseract.serving.removal import teardown
from tesseract.serving.requests import ContainerRequest, RunRequest, RunResult, Served, ServeRequest
from tesseract.serving.starting import serve

__all__ = [
    "Address",
    "ContainerRequest",
    "RunRequest",
    "RunResult",
    "ServeRequest",
    "Served",
    "address_of",
    "ended",
    "find_container",
    "find_image",
    "listing",
    "process",
    "run_once",
    "serve",
    "teardown",
]
