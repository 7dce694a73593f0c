"""Aliases of the models of `tesseract_config.yaml`."""

from tesseract.projects import TesseractBuildConfig, TesseractConfig

__all__ = ["TesseractBuildConfig", "TesseractConfig"]
