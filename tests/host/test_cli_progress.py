"""What is said while an image is built."""

from __future__ import annotations

import logging

import pytest

from tesseract.cli.progress import BuildProgress

pytestmark = pytest.mark.fast

LINES = (
    "STEP 1/3: FROM docker.io/library/debian:bookworm-slim",
    "STEP 2/3: RUN --mount=type=bind,target=/run/tesseract sh /run/tesseract/install.sh requirements x",
    "Downloading numpy",
    "STEP 3/3: RUN before=$(mktemp) && tesseract-runtime check",
    "Preparing the image for containers that run as you",
)


def said(level: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    logger = logging.getLogger("a-build")
    with caplog.at_level(level, logger.name), BuildProgress(logger) as progress:
        for line in LINES:
            progress.line(line)
    return caplog.messages


def test_without_a_terminal_there_is_a_line_for_each_step(caplog: pytest.LogCaptureFixture) -> None:
    assert said(logging.INFO, caplog) == [
        "FROM docker.io/library/debian:bookworm-slim (1/3)",
        "Installing requirements (2/3)",
        "Checking the Tesseract (3/3)",
        "Preparing the image for containers that run as you",
    ]


def test_whoever_wants_all_gets_each_line_once(caplog: pytest.LogCaptureFixture) -> None:
    assert said(logging.DEBUG, caplog) == list(LINES)
