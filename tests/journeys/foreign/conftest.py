"""Images of the foreign Tesseracts: each is built once, and removed after the tests that use it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.foreign import Foreign, copy_project
from support.images import remove_image

Build = Callable[..., Foreign]
FIRST = "vibration"  # its image stays until the end, and with it the environment that all of them share


@pytest.fixture(scope="session")
def build_foreign(
    tesseract_cli: Callable[..., subprocess.CompletedProcess[str]],
    base_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Build:
    """Build the project of that name; `prepare(folder)` puts into its copy what the repository does not keep."""

    def build(name: str, prepare: Callable[[Path], object] | None = None) -> Foreign:
        project = copy_project(name, tmp_path_factory.mktemp("foreign"))
        if prepare:
            prepare(project)
        done = tesseract_cli("build", project, timeout=900)
        assert done.returncode == 0, done.stderr
        return Foreign("foreign-" + name.replace("_", "-"), project, tesseract_cli)

    return build


@pytest.fixture(scope="session")
def first(build_foreign: Build) -> Iterator[Foreign]:
    """The Tesseract whose image holds the shared environment."""
    built = build_foreign(FIRST)
    yield built
    remove_image(built.name)


@pytest.fixture(scope="module")
def foreign(build_foreign: Build, first: Foreign) -> Iterator[Build]:
    """Build a project, as `build_foreign` does; its image is removed after the module's tests."""
    built: list[Foreign] = []

    def build(name: str, prepare: Callable[[Path], object] | None = None) -> Foreign:
        if name == FIRST:
            return first
        built.append(build_foreign(name, prepare))
        return built[-1]

    yield build
    for each in built:
        remove_image(each.name)
