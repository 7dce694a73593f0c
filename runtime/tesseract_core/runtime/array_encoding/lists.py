"""What nested lists hold, found out before NumPy sees them.

NumPy would turn a list with a single text in it into an array of texts that are all as long as the longest one: a body
of 100 kB into gigabytes. So texts are refused here, and what NumPy is given grows no faster than the list itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

_LISTS = frozenset({list, tuple})
_MAX_DEPTH = 64  # of an array of NumPy


def leaf_types(value: Sequence[Any]) -> set[type]:
    """Types of what nested lists and tuples hold, other than lists and tuples.

    A list that is nested more deeply than an array can be counts as a leaf.
    """
    found = set(map(type, value))
    leaves: set[type] = set()
    level: Sequence[Any] = value
    for _ in range(_MAX_DEPTH):
        if not found & _LISTS:
            return leaves | found
        leaves |= found - _LISTS
        rows = level if found <= _LISTS else [item for item in level if type(item) in _LISTS]
        level = list(chain.from_iterable(rows))
        found = set(map(type, level))
    return leaves | found


def is_text(kind: type) -> bool:
    """Whether instances of a type are text, in which no numbers are looked for."""
    return issubclass(kind, str | bytes)
