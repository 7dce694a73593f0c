"""Limits that an engine takes and does not enforce."""

from __future__ import annotations

import logging

from tesseract.backends.base import Backend
from tesseract.errors import EngineError

logger = logging.getLogger("tesseract")


def warn_if_ignored(backend: Backend, memory: str | None) -> None:
    """Say so if the engine ignores a memory limit, as it does where control groups are not delegated to the caller."""
    if memory is None:
        return
    try:
        enforced = backend.limits_memory()
    except EngineError as problem:  # whatever it is, the container's start will say it, too
        logger.debug("limits: %s", problem)
        return
    if not enforced:
        logger.warning(
            "The memory limit of %s has no effect: control groups for memory are not delegated to you. "
            "`tesseract doctor cgroups` says how to get them.",
            memory,
        )
