"""Aliases of the exceptions for mistakes that a user can correct."""

from tesseract.errors import UserError, ValidationError

__all__ = ["UserError", "ValidationError"]
