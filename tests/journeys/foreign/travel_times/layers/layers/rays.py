"""Snell's law in a stack of layers: a ray is named by its parameter p = sin(angle) / velocity."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stack:
    """Layers from the surface down: thickness in m, slowness in s/m."""

    thickness: np.ndarray
    slowness: np.ndarray


def offset(stack: Stack, p: float) -> float:
    """Horizontal distance that a ray of parameter p covers on its way down, in m."""
    return float(np.sum(stack.thickness * p / np.sqrt(stack.slowness**2 - p**2)))


def offset_slope(stack: Stack, p: float) -> float:
    return float(np.sum(stack.thickness * stack.slowness**2 / (stack.slowness**2 - p**2) ** 1.5))


def shoot(stack: Stack, distance: float) -> float:
    """Parameter of the ray that arrives at a horizontal distance: Newton's method, kept between bisection bounds."""
    low, high = 0.0, float(stack.slowness.min()) * (1 - 1e-12)
    p = min(distance / max(stack.thickness.sum(), 1e-9) * stack.slowness.min(), 0.5 * high)
    for _ in range(200):
        miss = offset(stack, p) - distance
        if miss > 0:
            high = p
        else:
            low = p
        step = p - miss / offset_slope(stack, p)
        p_next = step if low < step < high else 0.5 * (low + high)
        if abs(p_next - p) <= 1e-16 + 1e-14 * abs(p):
            return p_next
        p = p_next
    return p


def travel_time(stack: Stack, p: float) -> float:
    """Time along the ray of parameter p, in s."""
    return float(np.sum(stack.thickness * stack.slowness**2 / np.sqrt(stack.slowness**2 - p**2)))
