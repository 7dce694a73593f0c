"""Regression tests and gradient checks of a Tesseract."""
