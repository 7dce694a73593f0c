"""Aliases of the commands as functions, and of the choice of a port."""

from tesseract.commands import build_tesseract, run_tesseract, serve, teardown
from tesseract.serving.ports import get_free_port

__all__ = ["build_tesseract", "get_free_port", "run_tesseract", "serve", "teardown"]
