"""Tesseract host package: builds, serves and tears down Tesseracts on Podman or Docker.

The public Python interface is `tesseract_core` (`from tesseract_core import Tesseract`). Nothing is imported here, so
that `tesseract --version` starts at once.
"""
