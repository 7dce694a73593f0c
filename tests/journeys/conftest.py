"""Journeys are those of somebody who has Podman and has set nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from support.builds import podman
from support.images import remove_image


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine but the default one: the driver contract suite may have pointed DOCKER_HOST at its own."""
    for name in ("DOCKER_HOST", "CONTAINER_HOST", "TESSERACT_ENGINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def base_with_python(base_image: str) -> Iterator[str]:
    """A base image with Debian's Python, whose libraries an interpreter of our making needs, too."""
    looking = ["podman", "run", "--rm", base_image, "sh", "-c", "command -v python3"]
    if subprocess.run(looking, capture_output=True, check=False).returncode == 0:
        yield base_image
        return
    install = "apt-get update -qq && apt-get install -qq --no-install-recommends python3"
    containerfile = f"FROM {base_image}\nRUN {install} && rm -rf /var/lib/apt/lists/*\n"
    base = "localhost/test-base-with-python"
    podman("build", "--quiet", "--tag", base, "--file", "-", input=containerfile)
    yield base
    remove_image("test-base-with-python")


@pytest.fixture(scope="session")
def shared_layers(tesseract_image: Callable[[str], str]) -> None:
    """Builds on the default base image begin with layers that are there already, whichever test comes first."""
    tesseract_image("vectoradd")
