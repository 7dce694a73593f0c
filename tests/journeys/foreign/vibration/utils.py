"""Helpers of the vibration model; the file has the same name as another project's, and other contents."""

import numpy as np

KIND = "vibration"


def operator(stiffness: np.ndarray) -> np.ndarray:
    """Stiffness matrix of n masses between n + 1 springs."""
    return np.diag(stiffness[:-1] + stiffness[1:]) - np.diag(stiffness[1:-1], 1) - np.diag(stiffness[1:-1], -1)


def symmetric(matrix: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """M^(-1/2) K M^(-1/2)."""
    scale = 1 / np.sqrt(masses)
    return scale[:, None] * matrix * scale[None]
