"""Journeys are those of somebody who has Podman and has set nothing."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine but the default one: the driver contract suite may have pointed DOCKER_HOST at its own."""
    for name in ("DOCKER_HOST", "CONTAINER_HOST", "TESSERACT_ENGINE"):
        monkeypatch.delenv(name, raising=False)
