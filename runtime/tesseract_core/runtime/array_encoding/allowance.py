"""What the arrays of one request may take beyond the request's own bytes.

A few bytes can name much: a compressed buffer, a buffer or a file that many arrays refer to, a single number for a
field of a declared size. All that such arrays take is counted, and bounded by what plain bodies could take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tesseract_core.runtime.array_encoding import errors

ALLOWANCE = "allowance"
"""Key of the validation context under which a request's `Allowance` is found."""


class Allowance:
    """Counts bytes.

    Args:
        memory: How many arrays may take that are expanded, or refer to buffers.
        files: How many arrays may take that are read from files.
    """

    def __init__(self, memory: int, files: int) -> None:
        self._limits = {"memory": memory, "files": files}
        self._left = dict(self._limits)

    def take(self, size: int, kind: str) -> None:
        """Take bytes of a kind. Raises: PydanticCustomError, if there are not so many left."""
        if size > self._left[kind]:
            raise errors.too_large(self._limits[kind])
        self._left[kind] -= size


def take(context: Mapping[str, Any], size: int, kind: str = "memory") -> None:
    """Count bytes that an array takes, before it does; in a context without an `Allowance` nothing is counted.

    Raises:
        PydanticCustomError: The request's arrays would take too much.
    """
    allowance = context.get(ALLOWANCE)
    if allowance is not None:
        allowance.take(size, kind)
