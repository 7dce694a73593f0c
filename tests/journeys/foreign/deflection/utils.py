"""Helpers of the deflection model: second derivative and sections."""

import numpy as np

KIND = "deflection"
MODULUS = 210e9


def second_moment(width: float, height: float) -> float:
    """Of a rectangle, in m⁴."""
    return width * height**3 / 12


def operator(n: int, spacing: float) -> np.ndarray:
    """Negative second derivative on n inner nodes, zero at both ends."""
    return (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)) / spacing**2
