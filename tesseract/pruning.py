"""What this tool has left on the machine and nobody needs: found, measured and removed.

from tesseract import pruning
for item in pruning.find():
    item.remove()
"""

from __future__ import annotations

import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tesseract.backends.base import Backend
from tesseract.backends.runtime_dir import runtime_dir
from tesseract.backends.spec import BUILD_MARK
from tesseract.disk import size_of
from tesseract.errors import EngineError
from tesseract.images import buildcache, unfinished
from tesseract.remove_tree import remove_tree
from tesseract.serving import data, labels, removal
from tesseract.serving.lookup import engine as selected
from tesseract.serving.plan import is_our_name
from tesseract.transfer import cache as inputs

logger = logging.getLogger("tesseract")

_MAPPING = re.compile(r"tesseract-mapping-[0-9a-f]{8}")
_YOUNG = 600.0
"""Seconds for which a runtime directory is left alone: its container may be about to be made."""
# As `tempfile` names them for us, so that nobody's own `tesseract_runtime_data` is taken for ours.
_TEMPORARY = re.compile(
    r"(tesseract_(secrets|id|payload|runtime|upload|check)_|tesseract-doctor-)[a-z0-9_]{8}"
    rf"(\.{BUILD_MARK}[0-9a-f]+)?"
)
_OLD = 2 * 24 * 3600.0
"""Seconds after which no command can be using its temporary files any more."""


@dataclass(frozen=True)
class Item:
    """Something to remove.

    Attributes:
        kind: `build`, `image`, `container`, `network`, `runtime directory`, `temporary files`, `build cache` or
            `input cache`.
        name: What it is called, or where it is.
        size: Bytes on disk; None where they cannot be told beforehand.
        remove: Removes it.
    """

    kind: str
    name: str
    size: int | None
    remove: Callable[[], object] = field(repr=False, compare=False)


def find(backend: Backend | None = None) -> Iterator[Item]:
    """What there is to remove, in an order in which it can be removed. Works without an engine, as far as that goes.

    Raises: EngineError only where an engine was given.
    """
    engine = backend or _engine()
    for build in unfinished.find(engine):
        size = sum(map(size_of, build.directories))
        yield Item("build", build.mark, size, partial(unfinished.remove, build, engine))
    yield from _temporary_files()
    if engine is not None:
        yield from _containers(engine)
        yield from _networks(engine)
        yield from _images(engine)
        yield from _runtime_directories(engine)
        yield from _build_cache(engine)
        yield from _inputs(engine)


def _engine() -> Backend | None:
    try:
        engine = selected()
        engine.info()
        return engine
    except EngineError as error:
        logger.warning("Only what needs no engine is looked for: %s", error)
        return None


def _temporary_files() -> Iterator[Item]:
    """What killed commands left below the temporary directory, their secrets among it."""
    for path in sorted(Path(tempfile.gettempdir()).glob("tesseract*")):
        with suppress(OSError):
            facts = path.lstat()
            ours = facts.st_uid == os.getuid() and stat.S_ISDIR(facts.st_mode) and _TEMPORARY.fullmatch(path.name)
            if ours and time.time() - facts.st_mtime > _OLD:
                yield Item("temporary files", str(path), size_of(path), partial(remove_tree, path))


def _containers(engine: Backend) -> Iterator[Item]:
    orphans = [container.name for container in removal.orphans(engine)]
    for name in orphans:
        yield Item("container", name, 0, partial(removal.teardown, name, backend=engine))
    if not buildcache.in_use():
        for container in engine.containers(all=True):
            if _MAPPING.fullmatch(container.name):
                yield Item("container", container.name, 0, partial(engine.remove, container.id))


def _networks(engine: Backend) -> Iterator[Item]:
    used = {name for container in engine.containers(all=True) for name in container.networks}
    for name in engine.networks(labels.mine()):
        if name not in used:
            yield Item("network", name, 0, partial(engine.remove_network_if_empty, name))


def _images(engine: Backend) -> Iterator[Item]:
    for image in engine.unnamed_images({labels.VERSION: ""}):
        yield Item("image", image.removeprefix("sha256:")[:12], None, partial(engine.remove_if_unused, image))


def _runtime_directories(engine: Backend) -> Iterator[Item]:
    containers = engine.containers(all=True)
    names = {container.name for container in containers}
    names |= {Path(labels.of(container).get(labels.SOCKET, "")).parent.name for container in containers}
    for path in sorted(runtime_dir().iterdir()):
        ours = is_our_name(path.name) and path.is_dir() and not path.is_symlink()
        if ours and path.name not in names and time.time() - path.stat().st_mtime > _YOUNG:
            yield Item("runtime directory", str(path), size_of(path), partial(remove_tree, path))


def _build_cache(engine: Backend) -> Iterator[Item]:
    directory = engine.build_cache()
    if directory is not None and directory.is_dir():
        if buildcache.in_use():
            logger.info("A build is going on: its cache (%s) stays", directory)
        else:
            yield Item("build cache", str(directory), size_of(directory), engine.clear_build_cache)


def _inputs(engine: Backend) -> Iterator[Item]:
    kept = data.mounted(engine)
    for entry in inputs.entries():
        if entry.path not in kept and not inputs.is_recent(entry.path):
            remove = partial(inputs.remove, entry.path)
            yield Item("input cache", entry.url or str(entry.path), entry.size, remove)
