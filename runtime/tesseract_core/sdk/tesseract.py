"""Alias of the class `Tesseract`."""

from tesseract_core import Tesseract

__all__ = ["Tesseract"]
