"""Inspect documents of Podman and Docker as our values. Pure; tolerant of fields that are absent or null.

A document of another shape is an error of ours (`APIError`), never a traceback: part of it comes from images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tesseract.backends.spec import ContainerInfo, ImageInfo, PublishedPort
from tesseract.backends.text import short_reference
from tesseract.errors import APIError


@contextmanager
def _understood(what: str, attrs: object) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        name = attrs.get("Id") if isinstance(attrs, Mapping) else None
        raise APIError(
            f"The engine describes the {what} {name or ''} in a way that is not understood "
            f"({type(error).__name__}: {error}). Look at it with the engine's own inspect command."
        ) from error


_STATUS = {"configured": "created", "initialized": "created", "stopped": "exited"}


def image_info(attrs: Mapping[str, Any], history: Iterable[Mapping[str, Any]] | None = None) -> ImageInfo:
    """An image from `GET /images/NAME/json`.

    Args:
        attrs: The document. Podman's `Size` counts a part of the mapped copies, too.
        history: Podman's `GET /images/NAME/history`: sizes of the layers alone.

    Raises:
        APIError: It is not understood.
    """
    with _understood("image", attrs):
        return _image_info(attrs, history)
    raise AssertionError("returned or raised")


def _image_info(attrs: Mapping[str, Any], history: Iterable[Mapping[str, Any]] | None) -> ImageInfo:
    config = attrs.get("Config") or {}
    size = int(attrs.get("Size") or 0)
    if history is not None:
        size = sum(int(layer.get("Size") or layer.get("size") or 0) for layer in history)
    return ImageInfo(
        id=attrs["Id"],
        tags=tuple(short_reference(tag) for tag in attrs.get("RepoTags") or ()),
        env=environment(config.get("Env")),
        labels=dict(config.get("Labels") or attrs.get("Labels") or {}),
        size=size,
        entrypoint=_words(config.get("Entrypoint")),
        attrs=attrs,
    )


def container_info(attrs: Mapping[str, Any]) -> ContainerInfo:
    """A container from `GET /containers/NAME/json`. Raises: APIError if it is not understood."""
    with _understood("container", attrs):
        return _container_info(attrs)
    raise AssertionError("returned or raised")


def _container_info(attrs: Mapping[str, Any]) -> ContainerInfo:
    config, state = attrs.get("Config") or {}, attrs.get("State") or {}
    network = attrs.get("NetworkSettings") or {}
    host = attrs.get("HostConfig") or {}
    status = str(state.get("Status") or "unknown")
    status = _STATUS.get(status, status)
    return ContainerInfo(
        id=attrs["Id"],
        name=str(attrs.get("Name") or "").lstrip("/"),
        image_id=str(attrs.get("Image") or ""),
        image=short_reference(str(attrs.get("ImageName") or config.get("Image") or "")),
        status=status,
        env=environment(config.get("Env")),
        labels=dict(config.get("Labels") or {}),
        command=_words(config.get("Cmd")),
        exit_code=int(state.get("ExitCode") or 0) if status in ("exited", "dead", "removing") else None,
        oom_killed=bool(state.get("OOMKilled")),
        error=str(state.get("Error") or ""),
        shm_size=int(host.get("ShmSize") or 0) or None,
        ports=published_ports(network.get("Ports") or host.get("PortBindings") or {}),
        networks={
            name: str(settings.get("IPAddress") or "")
            for name, settings in (network.get("Networks") or {}).items()
            if settings and name not in ("host", "none")
        },
        host_network=host.get("NetworkMode") == "host",
        attrs=attrs,
    )


def published_ports(bindings: Mapping[str, Any]) -> tuple[PublishedPort, ...]:
    """From `{"8000/tcp": [{"HostIp": ..., "HostPort": ...}]}`; an empty address means all of them."""
    return tuple(
        PublishedPort(int(port.split("/")[0]), binding.get("HostIp") or "0.0.0.0", int(binding["HostPort"]))
        for port, targets in bindings.items()
        for binding in targets or ()
        if binding.get("HostPort")
    )


def environment(lines: Iterable[str] | None) -> dict[str, str]:
    """Variables from `NAME=value` lines; an image that was merely imported has none."""
    return {name: value for name, _, value in (line.partition("=") for line in lines or ())}


def _words(value: str | Iterable[str] | None) -> tuple[str, ...]:
    if not value:
        return ()
    return tuple(value.split(" ")) if isinstance(value, str) else tuple(value)
