"""Aliases of the host's settings."""

from tesseract.settings import get_config, update_config

__all__ = ["get_config", "update_config"]
