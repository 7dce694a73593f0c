"""The packages that builds have fetched, kept by the engine for the next build: their size, and an end to growth."""

from __future__ import annotations

import logging
import os

from tesseract.backends.base import Backend
from tesseract.disk import size_of
from tesseract.errors import InvalidValue
from tesseract.images import unfinished

logger = logging.getLogger("tesseract")

DEFAULT_LIMIT = 10 * 1000**3
"""Bytes that the cache may take; `TESSERACT_BUILD_CACHE_LIMIT` says otherwise."""


def limit() -> int:
    """How many bytes the cache may take. Raises: InvalidValue."""
    text = os.environ.get("TESSERACT_BUILD_CACHE_LIMIT")
    try:
        return int(text) if text else DEFAULT_LIMIT
    except ValueError:
        raise InvalidValue(f"TESSERACT_BUILD_CACHE_LIMIT={text}: must be a number of bytes.") from None


def in_use(mark: str = "") -> bool:
    """Whether a build reads the cache, but for the one with that mark."""
    return bool(unfinished.going_on() - {mark})


def bound(engine: Backend, mark: str) -> None:
    """Empty the cache if it has grown too large and no other build than the one with `mark` uses it."""
    directory = engine.build_cache()
    if directory is None or not directory.is_dir() or in_use(mark):
        return
    taken = size_of(directory)
    if taken > limit():
        logger.info("The cache of fetched packages (%s) has grown to %.1f GB and is emptied", directory, taken / 1e9)
        engine.clear_build_cache()
