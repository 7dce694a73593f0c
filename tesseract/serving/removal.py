"""Teardown: remove Tesseracts with everything that was made for them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerInfo
from tesseract.errors import InvalidValue
from tesseract.serving import data, labels, paths, process
from tesseract.serving.lookup import engine, find_container
from tesseract.serving.signals import uninterrupted

logger = logging.getLogger("tesseract")

_AT_ONCE = 16


def teardown(
    names: Sequence[str] | str = (),
    *,
    all: bool = False,
    orphaned: bool = False,
    backend: Backend | None = None,
) -> list[str]:
    """Remove Tesseract containers, running or not, and return their names.

    Args:
        names: Names or ids of any Tesseracts. All are looked up first: if one is unknown, nothing is removed.
        all: Every Tesseract that this tool made for the calling user.
        orphaned: Those of them that belonged to a process which is gone.

    Networks that were made for them go with their last Tesseract. Output that belongs at a URL is uploaded.

    Raises: InvalidValue unless exactly one of the three is given; ContainerNotFound; TransferError after everything
    has been removed, if some output could not be uploaded.
    """
    names = [names] if isinstance(names, str) else list(names)
    if sum((bool(names), all, orphaned)) != 1:
        raise InvalidValue("Either container names, all or orphaned must be provided, and only one of them.")
    backend = engine(backend)
    containers = _select(backend, names, orphaned)
    if not containers:
        return []
    remove = partial(_remove, backend)
    with uninterrupted():
        if len(containers) == 1:  # also at interpreter exit, when no thread can be started any more
            remove(containers[0])
        else:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(min(_AT_ONCE, len(containers))) as pool:
                list(pool.map(remove, containers))
        for network in sorted({name for container in containers for name in container.networks}):
            backend.remove_network_if_empty(network)
    problem = data.deliver(filter(None, map(data.output_of, containers)))
    if problem is not None:
        raise problem
    return [container.name for container in containers]


def _select(backend: Backend, names: Sequence[str], orphaned: bool) -> list[ContainerInfo]:
    if names:
        found = [find_container(backend, name) for name in names]
        return list({container.id: container for container in found}.values())
    mine = [item for item in backend.containers(all=True, labels=labels.mine()) if labels.is_tesseract(item)]
    if not orphaned:
        return mine
    return [item for item in mine if (owner := item.labels.get(labels.PROCESS)) and not process.is_alive(owner)]


def _remove(backend: Backend, container: ContainerInfo) -> None:
    backend.remove(container.id)
    logger.info("Removed Tesseract container %s", container.name)
    if socket := container.labels.get(labels.SOCKET):
        paths.remove_socket_dir(Path(socket).parent)
