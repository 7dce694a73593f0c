"""Rays through a stack of horizontal layers."""

from .rays import Stack, offset, offset_slope, shoot, travel_time
from .tables import VELOCITIES

__all__ = ["VELOCITIES", "Stack", "offset", "offset_slope", "shoot", "travel_time"]
