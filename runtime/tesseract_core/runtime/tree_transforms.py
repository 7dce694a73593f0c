"""Paths into trees of models, mappings and sequences: `stats.mean`, `parts.[0].x`, `table.{k.1}`.

A path is a sequence of segments joined by dots: an attribute (or mapping key) that is an identifier, `[n]` for the
n-th item of a sequence, or `{key}` for a mapping key of at least one character, where `{`, `}` and `\\` are escaped by
a backslash. A backslash that escapes none of these stands for itself.
"""

from __future__ import annotations

import copy
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal

PathOp = tuple[Literal["getattr"], str] | tuple[Literal["seq"], int] | tuple[Literal["dict"], str]

_INDEX = re.compile(r"\[(\d+)\]", re.ASCII)
_KEY = re.compile(r"\{((?:[^{}\\]|\\.)+)\}", re.DOTALL)
_SPECIAL = re.compile(r"([{}\\])")
_LAST_BACKSLASH = re.compile(r"(?<!\\)\\\}(?=\.|$)")
_ESCAPED = re.compile(r"\\([{}\\])")


def escape_dict_key(key: str) -> str:
    """Escape a mapping key for use between braces."""
    return _SPECIAL.sub(r"\\\1", key)


def unescape_dict_key(key: str) -> str:
    """Undo `escape_dict_key`."""
    return _ESCAPED.sub(r"\1", key)


def split_path(path: str) -> list[str]:
    """Split at the dots that are outside of braces. The empty path has no segments.

    Of a key that was not escaped, a backslash at its end counts as one: `{a\\}`.
    """
    if not path:
        return []
    if (segments := _split(path)) is None:
        segments = _split(_LAST_BACKSLASH.sub(r"\\\\}", path)) or [path]
    return segments


def _split(path: str) -> list[str] | None:
    """None if a brace stays open."""
    segments, current, depth, escaped = [], "", 0, False
    for character in path:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        elif character == "." and depth == 0:
            segments.append(current)
            current = ""
            continue
        current += character
    return None if depth else [*segments, current]


def path_to_index_op(segment: str) -> PathOp:
    """Parse one segment.

    Returns:
        `("getattr", name)`, `("seq", index)` or `("dict", key)`.

    Raises:
        ValueError: It is none of these.
    """
    if match := _INDEX.fullmatch(segment):
        return ("seq", int(match[1]))
    if match := _KEY.fullmatch(segment) or _KEY.fullmatch(_LAST_BACKSLASH.sub(r"\\\\}", segment)):
        return ("dict", unescape_dict_key(match[1]))
    if segment.isidentifier():
        return ("getattr", segment)
    raise ValueError(f"Invalid path: segment {segment!r} must be a name, [<index>] or {{<key>}}")


def get_at_path(tree: Any, path: str) -> Any:
    """Return what `path` leads to; the empty path leads to the tree itself.

    Raises:
        KeyError, IndexError, AttributeError: There is nothing.
        ValueError: The path is malformed.
    """
    for segment in split_path(path):
        tree = _child(tree, path_to_index_op(segment))
    return tree


def set_at_path(tree: Any, values: Mapping[str, Any]) -> Any:
    """Return a deep copy of `tree` with values replaced, which are in it as they are.

    Args:
        tree: Models, mappings, sequences, objects.
        values: New values by path.

    Raises:
        KeyError, IndexError, AttributeError: There is nothing at a path.
        ValueError: A path is malformed.
    """
    for path, value in values.items():
        tree = _replaced(tree, [path_to_index_op(segment) for segment in split_path(path)], _New(value))
    return copy.deepcopy(tree)


class _New:
    """Stands for a value until everything beside it has been copied."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.value


def flatten_with_paths(tree: Any, include_paths: Iterable[str]) -> dict[str, Any]:
    """Return what each path leads to."""
    return {path: get_at_path(tree, path) for path in include_paths}


def filter_func(
    func: Callable[[Any], Any],
    default_inputs: Any,
    output_paths: Iterable[str] | None = None,
    input_paths: Sequence[str] | None = None,
) -> Callable[..., Any]:
    """Turn a function of a tree into one of some of its leaves.

    Args:
        func: Takes a tree like `default_inputs`.
        default_inputs: Values of all leaves that are not given.
        output_paths: Leaves to return, as `{path: value}`; None returns what `func` returns.
        input_paths: If given, the result takes one positional value for each of them; else it takes one
            `{path: value}` dict.

    Returns:
        The function. It raises ValueError for a wrong number of arguments, and TypeError for one that is no dict.
    """
    outputs = None if output_paths is None else list(output_paths)

    def filtered(*args: Any) -> Any:
        if input_paths is not None:
            if len(args) != len(input_paths):
                raise ValueError(f"Expected {len(input_paths)} values, one for each input path, got {len(args)}")
            values: Mapping[str, Any] = dict(zip(input_paths, args, strict=True))
        elif len(args) != 1:
            raise ValueError(f"Expected one dict of values by path, got {len(args)} arguments")
        elif not isinstance(args[0], Mapping):
            raise TypeError(f"Expected a dict of values by path, got {type(args[0]).__name__}")
        else:
            values = args[0]
        result = func(set_at_path(default_inputs, values))
        return result if outputs is None else flatten_with_paths(result, outputs)

    return filtered


def is_arraylike(value: Any) -> bool:
    """Whether a value has a shape and a dtype: NumPy and JAX arrays, tracers, NumPy scalars, `ShapeDType`s."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _child(tree: Any, op: PathOp) -> Any:
    kind, key = op
    if kind == "seq":
        return tree[key]
    key = str(key)
    if kind == "getattr":
        if isinstance(tree, Mapping):
            if key in tree:
                return tree[key]
            if not hasattr(tree, key):
                raise KeyError(key)
        return getattr(tree, key)
    # Keys in a path are text; a mapping may have others, such as integers.
    return tree[key if key in tree else _matching_key(tree, key)]


def _matching_key(tree: Mapping[Any, Any], text: str) -> Any:
    for key in tree:
        if not isinstance(key, str) and str(key) == text:
            return key
    raise KeyError(text)


def _replaced(tree: Any, ops: Sequence[PathOp], value: Any) -> Any:
    if not ops:
        return value
    if isinstance(tree, _New):
        tree = tree.value
    (kind, key), *rest = ops
    if rest:
        value = _replaced(_child(tree, (kind, key)), rest, value)  # type: ignore[arg-type]
    if isinstance(tree, Mapping):
        if key not in tree and any(str(existing) == key for existing in tree):
            key = _matching_key(tree, str(key))
        changed: Any = copy.copy(tree) if isinstance(tree, dict) else dict(tree)
        changed[key] = value
        return changed
    if isinstance(key, int):
        items = list(tree)
        items[key] = value
        if isinstance(tree, tuple):
            return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
        return items
    if kind == "dict":
        raise KeyError(key)
    if not hasattr(tree, key):
        raise AttributeError(f"{type(tree).__name__} has no attribute {key!r}")
    if hasattr(tree, "model_copy"):
        return tree.model_copy(update={key: value})
    changed = copy.copy(tree)
    setattr(changed, key, value)
    return changed


class LRUCache:
    """Thread-safe cache that keeps the most recently used entries.

    Args:
        maxsize: Number of entries; 0 keeps none.
    """

    def __init__(self, maxsize: int = 1) -> None:
        self.maxsize = maxsize
        self._entries: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Number of entries at hand."""
        return len(self._entries)

    def put(self, key: Hashable, value: Any) -> None:
        """Store a value; the least recently used entry may go."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            while len(self._entries) > self.maxsize:
                self._entries.popitem(last=False)

    def get(self, key: Hashable) -> Any:
        """Return the value, or None."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key]
