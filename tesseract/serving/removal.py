"""Teardown: remove Tesseracts with everything that was made for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tesseract.backends.base import Backend
from tesseract.backends.spec import ContainerInfo
from tesseract.errors import InvalidValue
from tesseract.serving import data, labels, paths, process
from tesseract.serving.lookup import engine, find_container
from tesseract.serving.signals import uninterrupted

logger = logging.getLogger("tesseract")

STOP_GRACE = 3.0
"""Seconds for a Tesseract to answer the calls it is working on before it is killed."""
_AT_ONCE = 16
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


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

    They have `STOP_GRACE` seconds to end what they are doing. Networks that were made for them go with their last
    Tesseract. Output that belongs at a URL is uploaded.

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
    with uninterrupted():
        _at_once(partial(_remove, backend), containers)
        for network in sorted({name for container in containers for name in container.networks}):
            backend.remove_network_if_empty(network)
    problem = data.deliver(filter(None, map(data.output_of, containers)))
    if problem is not None:
        raise problem
    return [container.name for container in containers]


def _select(backend: Backend, names: Sequence[str], orphaned: bool) -> list[ContainerInfo]:
    if names:
        found = _at_once(partial(find_container, backend), names)
        return list({container.id: container for container in found}.values())
    return orphans(backend) if orphaned else _mine(backend)


def orphans(backend: Backend) -> list[ContainerInfo]:
    """The caller's Tesseracts that belonged to a process which is gone."""
    mine = _mine(backend)
    return [item for item in mine if (owner := labels.of(item).get(labels.PROCESS)) and not process.is_alive(owner)]


def _mine(backend: Backend) -> list[ContainerInfo]:
    claimed = backend.containers(all=True, labels=labels.mine())
    return [item for item in claimed if labels.is_mine(item) and labels.is_tesseract(item)]


def _remove(backend: Backend, container: ContainerInfo) -> None:
    backend.remove(container.id, grace=STOP_GRACE)
    logger.info("Removed Tesseract container %s", container.name)
    if (socket := labels.of(container).get(labels.SOCKET)) and labels.is_mine(container):
        paths.remove_socket_dir(Path(socket).parent)


def _at_once(action: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """What `action` returns for each item. An error comes out when all have been seen to."""
    items = list(items)
    if len(items) < 2:  # also at interpreter exit, when no thread can be started any more
        return [action(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
        return list(pool.map(action, items))
