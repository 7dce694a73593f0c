"""Numbers of bytes, for people."""

from __future__ import annotations


def human_size(size: int) -> str:
    """Bytes in decimal units, as container engines print them."""
    value = float(size)
    units = ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"
