"""Aliases of the models of `tesseract_config.yaml`."""

from tesseract.projects.config import BuildConfig as TesseractBuildConfig
from tesseract.projects.config import TesseractConfig

__all__ = ["TesseractBuildConfig", "TesseractConfig"]
