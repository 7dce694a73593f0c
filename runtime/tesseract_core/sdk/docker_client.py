"""Aliases of the engine façade and of its exceptions."""

from tesseract.errors import (
    APIError,
    BuildError,
    ContainerError,
    ImageNotFound,
    NotFound,
)
from tesseract.errors import EngineError as DockerException
from tesseract.facade import CLIDockerClient, Container, Image

__all__ = [
    "APIError",
    "BuildError",
    "CLIDockerClient",
    "Container",
    "ContainerError",
    "DockerException",
    "Image",
    "ImageNotFound",
    "NotFound",
]
