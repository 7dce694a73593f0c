"""Compare two trees of values: first their structure, then their leaves. Differences are told for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tesseract_core.runtime.tree_transforms import escape_dict_key

MAX_ROWS = 100


def compare(obtained: Any, expected: Any, *, rtol: float, atol: float, max_rows: int = MAX_ROWS) -> str:
    """Say how `obtained` differs from `expected`; empty if it does not.

    Floating-point leaves are compared with `|obtained - expected| <= atol + rtol * |expected|` (NaN equals NaN inside
    arrays), everything else with `==`. At most `max_rows` elements of an array are listed.
    """
    if problems := list(_structure(obtained, expected, "")):
        return "\n".join(["Structure mismatch.", "", *problems, ""])
    texts = (_leaf(path, a, b, rtol, atol, max_rows) for path, a, b in _leaves(obtained, expected, ""))
    if problems := [text for text in texts if text]:
        return "Values are not sufficiently close.\n\n" + "".join(problems)
    return ""


def _structure(obtained: Any, expected: Any, path: str) -> Iterator[str]:
    name = path or "(root)"
    if _is_array(obtained) and _is_array(expected):
        a, b = np.asarray(obtained), np.asarray(expected)
        if a.shape != b.shape:
            yield f"{name}: obtained shape {a.shape}, expected {b.shape}"
        if a.dtype != b.dtype:
            yield f"{name}: obtained dtype {a.dtype}, expected {b.dtype}"
    elif type(obtained) is not type(expected) and not _both_numbers(obtained, expected):
        yield f"{name}: obtained {type(obtained).__name__}, expected {type(expected).__name__}"
    elif isinstance(expected, Mapping):
        if missing := [str(key) for key in expected if key not in obtained]:
            yield f"{name}: missing {', '.join(missing)}"
        if unexpected := [str(key) for key in obtained if key not in expected]:
            yield f"{name}: unexpected {', '.join(unexpected)}"
        for key in expected:
            if key in obtained:
                yield from _structure(obtained[key], expected[key], _child(path, key))
    elif isinstance(expected, list | tuple):
        if len(obtained) != len(expected):
            yield f"{name}: obtained {len(obtained)} items, expected {len(expected)}"
        for index, (a, b) in enumerate(zip(obtained, expected, strict=False)):
            yield from _structure(a, b, f"{path}.[{index}]".lstrip("."))


def _leaves(obtained: Any, expected: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Pairs of leaves of two trees of the same structure."""
    if isinstance(expected, Mapping):
        for key in expected:
            yield from _leaves(obtained[key], expected[key], _child(path, key))
    elif isinstance(expected, list | tuple):
        for index, (a, b) in enumerate(zip(obtained, expected, strict=True)):
            yield from _leaves(a, b, f"{path}.[{index}]".lstrip("."))
    else:
        yield path, obtained, expected


def _child(path: str, key: Any) -> str:
    part = key if isinstance(key, str) and key.isidentifier() else f"{{{escape_dict_key(str(key))}}}"
    return f"{path}.{part}" if path else part


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic)


def _both_numbers(a: Any, b: Any) -> bool:
    # An unvalidated default may be a Python float where a validated value is a NumPy one.
    return all(
        isinstance(value, int | float | complex | np.generic) and not isinstance(value, bool) for value in (a, b)
    )


def _leaf(path: str, obtained: Any, expected: Any, rtol: float, atol: float, max_rows: int) -> str:
    if not (_is_array(expected) or _both_numbers(obtained, expected)):
        return "" if obtained == expected else f"{path}\n  Obtained: {obtained!r}\n  Expected: {expected!r}\n\n"
    a, b = np.asarray(obtained), np.asarray(expected)
    if np.issubdtype(b.dtype, np.inexact) or np.issubdtype(a.dtype, np.inexact):
        different = ~np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=_is_array(expected))
    else:
        different = a != b
    return _array_report(path, a, b, different, max_rows) if np.any(different) else ""


def _array_report(path: str, a: np.ndarray, b: np.ndarray, different: np.ndarray, max_rows: int) -> str:
    indices = np.argwhere(different)
    count = len(indices)
    # Unsigned integers and booleans would wrap (or refuse) in their own dtype.
    wide = [value.astype(object) if value.dtype.kind in "bui" else value for value in (a, b)]
    difference = np.asarray(wide[0] - wide[1])
    lines = [
        path,
        f"Shape: {b.shape}",
        f"  Number of differences: {count} / {b.size} ({count / b.size:.1%})",
    ]
    if count > 1:
        lines += ["  Statistics:", *_statistics(difference[different], b[different])]
    lines += ["  Individual errors:", _row("Index", "Obtained", "Expected", "Difference")]
    for index in map(tuple, indices[:max_rows].tolist()):
        shown = index[0] if len(index) == 1 else index
        lines.append(_row(shown, a[index], b[index], difference[index]))
    if count > max_rows:
        lines.append(f"  ... and {count - max_rows} more")
    return "\n".join(lines) + "\n\n"


def _statistics(difference: np.ndarray, expected: np.ndarray) -> list[str]:
    absolute = np.abs(difference).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = absolute / np.abs(expected.astype(complex))
    return [
        f"    {name} error: max {np.max(error):.6g}, mean {np.mean(error):.6g}, median {np.median(error):.6g}"
        for name, error in (("Absolute", absolute), ("Relative", relative))
    ]


def _row(*cells: Any) -> str:
    index, *numbers = (str(cell) for cell in cells)
    return f"{index:>15}" + "".join(f"{number:>22}" for number in numbers)
